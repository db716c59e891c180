import os
import platform
import shutil
import sys
from pathlib import Path

import pytest

from harness.errors import ServerError
from harness.triton.server import install as triton
from harness.triton.server.install import (
    VERSION,
    check_platform,
    default_directory,
    find,
    install,
    library_path,
    parse_ldd,
)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def tree(root: Path, *, pythons: tuple[str, ...] = (PYTHON,)) -> Path:
    """An unpacked package with a program of this system in the place of server and stub."""
    server = root / "pytriton" / "tritonserver"
    (server / "bin").mkdir(parents=True)
    (root / "nvidia_pytriton.libs").mkdir()
    shutil.copy2("/bin/true", server / "bin" / "tritonserver")
    backend = server / "backends" / "python"
    backend.mkdir(parents=True)
    (backend / "libtriton_python.so").touch()
    (backend / "triton_python_backend_utils.py").write_text("import json\n")
    for version in pythons:
        folder = server / "python_backend_stubs" / version
        folder.mkdir(parents=True)
        shutil.copy2("/bin/true", folder / "triton_python_backend_stub")
    return root


def test_default_directory(monkeypatch, tmp_path):
    monkeypatch.delenv("HARNESS_TRITON_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "inference-harness" / "triton" / VERSION
    monkeypatch.setenv("HARNESS_TRITON_DIR", str(tmp_path / "mine"))
    assert default_directory() == tmp_path / "mine"


def test_nothing_installed_says_what_to_do(tmp_path):
    with pytest.raises(ServerError, match="not installed") as caught:
        find(tmp_path / "nothing")
    assert caught.value.fix == "harness triton install"


def test_find_makes_a_backend_directory_for_this_python(tmp_path):
    root = tree(tmp_path / "triton")
    found = find(root)
    assert found.root == root
    assert f"python{PYTHON}" in found.backends.name
    assert os.access(found.stub, os.X_OK)
    assert (found.backends / "python" / "libtriton_python.so").is_file()
    utils = (found.backends / "python" / "triton_python_backend_utils.py").read_text()
    assert "\nimport json\n" in utils
    assert "import harness_numpy2" in utils
    assert (found.backends / "python" / "harness_numpy2.py").is_file()
    assert (
        "harness_numpy2"
        not in (
            root / "pytriton/tritonserver/backends/python/triton_python_backend_utils.py"
        ).read_text()
    )


def test_find_changes_nothing_the_second_time(tmp_path):
    root = tree(tmp_path / "triton")
    first = find(root)
    before = first.stub.stat().st_ino
    assert find(root) == first
    assert first.stub.stat().st_ino == before
    assert [p.name for p in first.backends.parent.iterdir()] == [first.backends.name]


def test_a_python_without_a_stub_is_an_error(tmp_path):
    root = tree(tmp_path / "triton", pythons=("3.8", "3.10", "3.9"))
    with pytest.raises(ServerError, match=rf"no Python backend for Python {PYTHON}") as caught:
        find(root)
    assert "3.8, 3.9, 3.10" in caught.value.message
    assert "python3.10" in (caught.value.fix or "")


def test_a_package_in_the_environment_is_used(tmp_path, monkeypatch):
    root = tree(tmp_path / "site")
    (root / "pytriton" / "__init__.py").touch()
    info = root / "nvidia_pytriton-0.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nvidia-pytriton\nVersion: 0.6.0\n")
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("HARNESS_TRITON_DIR", str(tmp_path / "data" / "triton"))
    found = find()
    assert (found.root, found.version) == (root, "0.6.0")
    assert found.backends.is_relative_to(tmp_path / "data")


def test_a_finished_installation_needs_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    root = tree(tmp_path / "triton")
    assert install(root).root == root


def test_a_failed_download_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ServerError, match="pip could not get nvidia-pytriton==") as caught:
        install(tmp_path / "triton")
    assert "No matching distribution" in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ServerError, match="no Triton installation"):
        install(tmp_path)
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("system", "Darwin", "Linux x86_64 and aarch64 only, not on Darwin"),
        ("machine", "riscv64", "not on Linux riscv64"),
    ],
)
def test_other_systems(monkeypatch, name, value, message):
    monkeypatch.setattr(platform, name, lambda: value)
    with pytest.raises(ServerError, match=message):
        check_platform()


@pytest.mark.parametrize("libc", [("glibc", "2.31"), ("", "")])
def test_old_or_other_c_library(monkeypatch, libc):
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    with pytest.raises(ServerError, match=r"needs glibc 2\.35 or newer; this machine has"):
        check_platform()


def test_parse_ldd():
    output = """\
/opt/stub: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /opt/stub)
/opt/stub: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /opt/other)
\tlinux-vdso.so.1 (0x00007f7a)
\tlibpython3.11.so.1.0 => not found
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)
"""
    assert parse_ldd(output) == ("GLIBC_2.38", "libpython3.11.so.1.0")


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    found = find(tree(tmp_path / "triton"))
    monkeypatch.setattr(triton, "missing", lambda binary, path: ("libpython3.11.so.1.0",))
    with pytest.raises(ServerError, match=r"libpython3\.11\.so\.1\.0 not found") as caught:
        triton.check_libraries(found)
    assert f"libpython{PYTHON}" in (caught.value.fix or "")


def test_library_path_adds_pythons_folder_only_when_it_must(tmp_path, monkeypatch):
    found = find(tree(tmp_path / "triton"))
    own = str(found.libraries)
    assert library_path(found) == own
    monkeypatch.setattr(triton, "missing", lambda binary, path: ("libpython3.11.so.1.0",))
    assert library_path(found).startswith(f"{own}:/")
