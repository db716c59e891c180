"""The wheel by itself: built, installed in an empty environment, and run there. `make package`.

python tests/support/packaged.py [EXTRA …]

Needs the network, for what the wheel depends on; takes a minute or two. With extras the wheel is
installed with them. What is run lies outside of this tree, so that only the wheel is imported.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv", "build", "dist", "reports", "*.egg-info", "__pycache__", ".*_cache")
"""Of the tree that is built from."""
SHORT = (
    "--set", "measurement={profile: quick, rounds: 1, rounds_max: 1, warmup: 20ms, "
    "window: 100ms, window_max: 1s}", "--set", "load={batch_sizes: [1], concurrency: [1]}",
)  # fmt: skip
MEASURED = (0, 4)
"""Exit codes of a run that was carried out; one round decides nothing on a machine that is busy."""
MADE = ("report.html", "report.pdf", "summary.csv", "summary.json")
"""What a run leaves that needs the package's data files."""


def call(*args: object, cwd: Path, codes: Sequence[int] = (0,)) -> str:
    """Run a program as somebody would who has nothing of ours around; its output.

    Raises SystemExit with what it said when its exit code is none of `codes`.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [*map(str, args)], cwd=cwd, env=env, text=True, capture_output=True, check=False
    )
    if done.returncode not in codes:
        said = f"{done.stdout}{done.stderr}".strip()
        raise SystemExit(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{said}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, by `python -m build` from a copy of the tree (the sdist first, then from it)."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    python = environment(folder / "builder", folder)
    call(python, "-m", "pip", "install", "-q", "build", cwd=folder)
    call(python, "-m", "build", "--outdir", folder / "dist", tree, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def environment(path: Path, folder: Path) -> Path:
    """A new, empty environment; its Python."""
    call(sys.executable, "-m", "venv", path, cwd=folder)
    return path / "bin" / "python"


def run(python: Path, folder: Path) -> None:
    """Every command's help, a whole run with its reports, and where the package comes from."""
    harness = python.with_name("harness")
    where = call(python, "-c", "import harness; print(harness.__file__)", cwd=folder).strip()
    if not Path(where).is_relative_to(python.parents[1]):
        raise SystemExit(f"harness is imported from {where}, not from the wheel")
    print(call(harness, "--version", cwd=folder).strip())
    listed = "from harness.cli.main import COMMANDS; print(*COMMANDS)"
    for name in call(python, "-c", listed, cwd=folder).split():
        call(harness, name, "--help", cwd=folder)
    shutil.copy(ROOT / "scenarios" / "fake.yaml", folder)
    call(harness, "run", "fake.yaml", *SHORT, "-o", "out", "-q", cwd=folder, codes=MEASURED)
    if lacks := [name for name in MADE if not (folder / "out" / name).is_file()]:
        raise SystemExit(f"the run left no {', '.join(lacks)}")


def main(extras: Sequence[str]) -> None:
    """Build, install, run; says each step."""
    with tempfile.TemporaryDirectory(prefix="harness-package-") as name:
        folder = Path(name)
        wheel = build(folder)
        print(f"built: {wheel.name}, {wheel.stat().st_size:,} bytes", flush=True)
        python = environment(folder / "empty", folder)
        what = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
        pins = ROOT / "constraints.txt"
        call(python, "-m", "pip", "install", "-q", "--constraint", pins, what, cwd=folder)
        call(python, "-m", "pip", "check", cwd=folder)
        print("installed in an empty environment", flush=True)
        (away := folder / "away").mkdir()
        run(python, away)
        print("every command's help and a run with its reports: fine")


if __name__ == "__main__":
    main(sys.argv[1:])
