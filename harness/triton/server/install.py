"""The embedded Triton: a real tritonserver from the PyPI package nvidia-pytriton, no container.

The wheel is unpacked into a folder of its own (`--no-deps`: what it asks for is for its Python
API, which is not used), so it never touches the packages of the environment that is measured.
The Python backend's stub is built against one Python; each Python gets a backend directory of its
own beside the installation, so that several can share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import secrets
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from harness.errors import ServerError
from harness.system.paths import data_directory
from harness.system.scratch import removed_at_the_end

VERSION = "0.7.0"
"""Of nvidia-pytriton; it carries tritonserver 2.51.0."""
OLD = "tritonserver 2.51 lacks later security fixes; it listens on this machine only"
"""What `harness doctor` says of it: docs/security.md."""
REQUIREMENT = f"nvidia-pytriton=={VERSION}"
GLIBC = (2, 35)
FIX = "harness triton install"
PATHS = """import os, sys

# Added by the harness: here the working directory comes first, and PYTHONPATH is not read.
sys.path[:] = [p for p in (*os.environ.get("PYTHONPATH", "").split(os.pathsep), *sys.path) if p]

"""
"""What the Python backend begins with: nothing in the working directory replaces a library, and
models import this very harness."""


@dataclass(frozen=True, slots=True)
class TritonInstall:
    """An installation that this Python can use."""

    root: Path
    """The folder that holds `pytriton/` and its libraries."""
    binary: Path
    backends: Path
    """For `--backend-directory`: the Python backend with the stub for this Python."""
    version: str
    """Of the package nvidia-pytriton; empty for another installation."""

    @property
    def libraries(self) -> Path:
        """The shared libraries that came with the binary."""
        ours = self.root / "nvidia_pytriton.libs"
        return ours if ours.is_dir() else self.root / "lib"

    @property
    def caches(self) -> Path:
        """For `--cache-directory`: the libraries of response caches, beside `bin`."""
        return self.binary.parents[1] / "caches"

    @property
    def stub(self) -> Path:
        """The process in which the Python backend runs a model."""
        return self.backends / "python" / "triton_python_backend_stub"


def default_directory() -> Path:
    """HARNESS_TRITON_DIR, or inference-harness/triton/VERSION in the user's data directory."""
    if chosen := os.environ.get("HARNESS_TRITON_DIR"):
        return Path(chosen).expanduser()
    return data_directory() / "triton" / VERSION


def find(directory: Path | None = None) -> TritonInstall:
    """The installation in `directory` (default: `default_directory`), else an importable pytriton.

    Raises ServerError, with the command that installs one, when there is none that works.
    """
    directory = directory or default_directory()
    if _complete(directory):
        return _open(directory, directory / "backends", VERSION)
    package = importlib.util.find_spec("pytriton")
    if package is not None and package.origin is not None:
        root = Path(package.origin).parents[1]
        if _complete(root):
            version = importlib.metadata.version("nvidia-pytriton")
            return _open(root, default_directory().parent / f"backends-{version}", version)
    raise ServerError(f"the embedded Triton is not installed in {directory}", fix=FIX)


def local(binary: Path, backends: Path | None = None) -> TritonInstall:
    """A tritonserver that was installed otherwise, like /opt/tritonserver/bin/tritonserver.

    Its backends are in `backends`, by default in the folder of that name beside `bin`.
    Raises ServerError when its libraries or its backends are missing.
    """
    root = binary.resolve().parents[1]
    found = TritonInstall(root, binary.resolve(), (backends or root / "backends").resolve(), "")
    if not found.backends.is_dir():
        raise ServerError(
            f"{found.backends} is no directory of Triton's backends",
            fix="server: {backend_directory: DIR}",
        )
    check_libraries(found, "tritonserver")
    return found


def install(directory: Path | None = None) -> TritonInstall:
    """Install into `directory`, unless it is there already; it appears whole or not at all.

    Raises ServerError when this machine can't run it or the package can't be had.
    """
    directory = directory or default_directory()
    check_platform()
    if not _complete(directory):
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ServerError(
                f"{directory} is there and is no Triton installation",
                fix=f"remove it, or install elsewhere: {FIX} --directory DIR",
            )
        _download(directory)
    return find(directory)


def check_platform() -> None:
    """Raise ServerError where the package can't run: not Linux, or an old glibc."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in ("x86_64", "aarch64"):
        raise ServerError(
            f"the embedded Triton runs on Linux x86_64 and aarch64 only, not on {system} {machine}",
            fix="run tritonserver elsewhere and give its address as `server: {url: host:port}`",
        )
    name, version = platform.libc_ver()
    found = tuple(int(part) for part in version.split(".")[:2]) if version else ()
    if name != "glibc" or found < GLIBC:
        raise ServerError(
            f"the embedded Triton needs glibc {GLIBC[0]}.{GLIBC[1]} or newer; "
            f"this machine has {f'{name} {version}'.strip() or 'another C library'}",
            fix="use a newer system (Debian 12, Ubuntu 22.04), or `server: {url: host:port}`",
        )


def _complete(root: Path) -> bool:
    return _binary(root).is_file() and (root / "nvidia_pytriton.libs").is_dir()


def _server(root: Path) -> Path:
    return root / "pytriton" / "tritonserver"


def _binary(root: Path) -> Path:
    return _server(root) / "bin" / "tritonserver"


def _open(root: Path, backends: Path, version: str) -> TritonInstall:
    digest = hashlib.sha256((PATHS + _shim()).encode()).hexdigest()
    directory = backends / f"python{_python()}-{digest[:8]}"
    if not (directory / "python" / "triton_python_backend_stub").is_file():
        _make_backends(root, directory)
    found = TritonInstall(root, _binary(root), directory, version)
    check_libraries(found)
    return found


def _shim() -> str:
    """What makes the Python backend work with numpy 2; see the file."""
    return (files("harness.triton.repository") / "templates" / "numpy2.py").read_text("utf-8")


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _make_backends(root: Path, directory: Path) -> None:
    """Copy the Python backend and this Python's stub into `directory`, all at once."""
    stub = _server(root) / "python_backend_stubs" / _python() / "triton_python_backend_stub"
    if not stub.is_file():
        there = sorted((p.name for p in stub.parents[1].glob("3.*")), key=lambda v: int(v[2:]))
        raise ServerError(
            f"the embedded Triton has no Python backend for Python {_python()}; "
            f"it has {', '.join(there)}",
            fix=f"make the virtual environment with one of them: python{there[-1]} -m venv .venv"
            if there
            else f"remove {root} and run: {FIX}",
        )
    with _appearing(directory) as temporary:
        shutil.copytree(_server(root) / "backends" / "python", temporary / "python")
        shutil.copy2(stub, temporary / "python" / stub.name)
        (temporary / "python" / "harness_numpy2.py").write_text(_shim(), encoding="utf-8")
        utils = temporary / "python" / "triton_python_backend_utils.py"
        own = "\n\nimport harness_numpy2  # added by the harness: see there\n"
        utils.write_text(PATHS + utils.read_text(encoding="utf-8") + own, encoding="utf-8")


@contextlib.contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A folder to fill, which then takes its name, whole; nothing of it stays after an error."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        temporary = directory.parent / f".{directory.name}.{secrets.token_hex(8)}"
        temporary.mkdir(mode=0o700)
    except OSError as error:
        raise ServerError(
            f"{directory} can't be made: {error.strerror}", fix=f"{FIX} --directory DIR"
        ) from error
    with removed_at_the_end(temporary):
        yield temporary
        _rename(temporary, directory)


def _rename(temporary: Path, directory: Path) -> None:
    """Put a finished folder in place; when another process was first, keep what it made."""
    temporary.chmod(0o755)
    try:
        temporary.rename(directory)
    except OSError:
        if not directory.is_dir() or not any(directory.iterdir()):
            raise


def _download(directory: Path) -> None:
    with _appearing(directory) as temporary:
        _pip(["install", "--no-deps", "--no-compile", "--only-binary=:all:",
              "--target", str(temporary), REQUIREMENT])  # fmt: skip
        if not _complete(temporary):
            raise ServerError(f"{REQUIREMENT} as installed by pip has no tritonserver in it")


def _pip(arguments: Sequence[str]) -> None:
    """Run this Python's pip; its index settings apply, a user-wide `user = true` does not."""
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input",
               "--quiet", *arguments]  # fmt: skip
    done = subprocess.run(
        command, env={**os.environ, "PIP_USER": "0"}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if done.returncode:
        raise ServerError(f"pip could not get {REQUIREMENT}: {_why(done.stdout)}", fix=_pip_fix())


def _why(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["no output"])[-1]


def _pip_fix() -> str:
    if importlib.util.find_spec("pip") is None:
        return shlex.join([sys.executable, "-m", "ensurepip"])
    return (
        f"on a machine with a network: pip download --no-deps {REQUIREMENT}; then copy the wheel "
        "here and: pip install --no-deps WHEEL"
    )


# ------------------------------------------------------------------------------ shared libraries


def library_path(install: TritonInstall) -> str:
    """What the server's LD_LIBRARY_PATH starts with: its own libraries, and libpython's folder
    where the loader would not find it (a Python that is not the system's)."""
    own = str(install.libraries)
    if any(name.startswith("libpython") for name in _stub_lacks(install, own)):
        return f"{own}:{sysconfig.get_config_var('LIBDIR') or ''}"
    return own


def _stub_lacks(install: TritonInstall, path: str) -> tuple[str, ...]:
    """What the stub is missing; nothing where there is no Python backend."""
    return missing(install.stub, path) if install.stub.is_file() else ()


def check_libraries(install: TritonInstall, title: str = "the embedded Triton") -> None:
    """Raise ServerError when the loader can't find what the server or the stub is linked with."""
    path = library_path(install)
    lacking = sorted({*missing(install.binary, path), *_stub_lacks(install, path)})
    if not lacking:
        return
    python = [name for name in lacking if name.startswith("libpython")]
    raise ServerError(
        f"{title} can't run: {', '.join(lacking)} not found",
        fix=f"apt-get install libpython{_python()}, or use a Python built with --enable-shared"
        if python
        else "install the packages that have these libraries",
    )


def missing(binary: Path, path: str) -> tuple[str, ...]:
    """Names of libraries (or library versions) that `binary` needs and the loader can't find."""
    inherited = os.environ.get("LD_LIBRARY_PATH")
    return _missing(binary, f"{path}:{inherited}" if inherited else path)


@cache
def _missing(binary: Path, search: str) -> tuple[str, ...]:
    tool = shutil.which("ldd")
    if tool is None:
        return ()
    done = subprocess.run(
        [tool, str(binary)], env={**os.environ, "LD_LIBRARY_PATH": search, "LC_ALL": "C"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return parse_ldd(done.stdout + done.stderr)


def parse_ldd(output: str) -> tuple[str, ...]:
    """What ldd's output says is missing: `libx.so.1`, `GLIBC_2.38`."""
    found = []
    for line in output.splitlines():
        if "=> not found" in line:
            found.append(line.split()[0])
        elif "version `" in line and "not found" in line:
            found.append(line.split("version `", 1)[1].split("'", 1)[0])
    return tuple(dict.fromkeys(found))


# -------------------------------------------------------------------------------------- trying
