"""`python -m build`: what is in the wheel and the sdist, and that the wheel alone runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from support.packaged import LEFT_OUT
from support.paths import ROOT

from harness.version import __version__

NAME = f"inference_harness-{__version__}"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree, without the network: the sdist, and from it the wheel."""
    folder = tmp_path_factory.mktemp("package")
    ignored = shutil.ignore_patterns(*LEFT_OUT, "tests", "docs", "benchmarks")
    shutil.copytree(ROOT, folder / "tree", ignore=ignored, symlinks=True)
    (folder / "tree" / "harness" / "notes.txt").write_text("what somebody left there")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "tree"],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def unpacked(dist: Path) -> Path:
    with zipfile.ZipFile(dist / f"{NAME}-py3-none-any.whl") as wheel:
        wheel.extractall(dist / "installed")
    return dist / "installed"


def test_the_wheel_has_the_package_and_nothing_else(unpacked: Path) -> None:
    found = {str(p.relative_to(unpacked)) for p in unpacked.rglob("*") if p.is_file()}
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "harness"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    about = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert found == set(listed) | {f"{NAME}.dist-info/{name}" for name in about}


def test_it_says_what_it_is_and_what_it_needs(unpacked: Path) -> None:
    about = unpacked / f"{NAME}.dist-info"
    said = message_from_string((about / "METADATA").read_text("utf-8"))
    assert (said["Version"], said["License-Expression"]) == (__version__, "Apache-2.0")
    assert said["Requires-Python"] == ">=3.11"
    needs = said.get_all("Requires-Dist") or []
    core = {re.split(r"[<>=\[;]", need)[0] for need in needs if "extra ==" not in need}
    assert {"click", "numpy", "pydantic", "rich"} <= core
    assert not core & {"torch", "onnxruntime", "onnx", "tritonclient", "locust", "mlflow-skinny"}
    extras = set(said.get_all("Provides-Extra") or [])
    assert {"torch", "onnxruntime", "triton", "tensorrt", "stress", "mlflow", "wandb"} <= extras
    scripts = (about / "entry_points.txt").read_text("utf-8")
    assert "harness = harness.cli.main:main" in scripts


def test_the_sdist_is_enough_to_build_from(dist: Path) -> None:
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "harness/py.typed"} <= names
    assert not [name for name in names if name.startswith((".venv", "reports", "site"))]


def test_what_is_in_it_runs_without_this_tree(unpacked: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "scenarios" / "fake.yaml", tmp_path)
    code = "import harness; from harness.cli.main import main; print(harness.__file__); main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "validate", "fake.yaml"], cwd=tmp_path, text=True,
        env={**os.environ, "PYTHONPATH": str(unpacked)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, *said = done.stdout.splitlines()
    assert Path(where).is_relative_to(unpacked)
    assert "fine" in " ".join(said)
