"""A newcomer's path by the clock, and how long `--help` takes. Run it on a quiet machine.

    python benchmarks/newcomer.py --output docs/benchmarks          three minutes
    python benchmarks/newcomer.py --demo --output docs/benchmarks   also a clone and `make demo`

Machine time alone: reading is the reader's. Of ours it needs what `make setup` installs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from harness.cli.main import COMMANDS  # noqa: E402
from harness.scenario.spec.backend import packages  # noqa: E402
from harness.system.machine import describe_machine, package_versions  # noqa: E402

HELP_S, COMMAND_S, OWN_S, ANALYZER_S = 0.3, 0.5, 300.0, 120.0
"""The aims: `--help`, a subcommand's, an own model to its report, a file to its first figure."""
ANALYZER = """model_repository: {repository}
profile_models:
  identity:
    parameters: {{concurrency: [1], batch_sizes: [1]}}
"""
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def harness(folder: Path, *words: object, codes: Sequence[int] = (0, 4, 5)) -> None:
    """One command, as typed. Raises RuntimeError with what it said."""
    argv = [sys.executable, "-m", "harness", *map(str, words)]
    done = subprocess.run(argv, cwd=folder, env=ENV, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        raise RuntimeError(f"{' '.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}")


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def helps(repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds of `--help`, of the program ('') and of each subcommand: by the clock, and of
    a CPU, which other work on the machine does not change."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for command in ("", *COMMANDS):
            wall, cpu = [], []
            for _ in range(repeats):
                begin = os.times()
                wall.append(seconds(partial(harness, folder, *command.split(), "--help")))
                end = os.times()
                cpu.append(end.children_user + end.children_system
                           - begin.children_user - begin.children_system)  # fmt: skip
            found[command] = {"wall": statistics.median(wall), "cpu": statistics.median(cpu)}
    return found


def own_model(folder: Path) -> float:
    """An ONNX file → scenario → run → report."""

    def work() -> None:
        harness(folder, "init", ROOT / "scenarios/models/tiny-mlp.onnx", "-o", "own.yaml", "--yes")
        harness(folder, "run", "own.yaml", "-o", "own", "-q")
        if not (folder / "own" / "report.html").is_file():
            raise RuntimeError("there is no report")

    return seconds(work)


def analyzer(folder: Path) -> float:
    """A Model Analyzer file → the first measurement of the embedded server."""
    text = ANALYZER.format(repository=ROOT / "scenarios/models/repository")
    (folder / "analyzer.yaml").write_text(text)
    begin = time.monotonic()
    harness(folder, "import", "analyzer.yaml", "-o", "imported.yaml")
    argv = [sys.executable, "-m", "harness", "run", "imported.yaml", "-o", "imported", "--json"]
    with subprocess.Popen(argv, cwd=folder, env=ENV, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("event") == "measurement":
                found = time.monotonic() - begin
                process.terminate()
                process.stdout.read()
                return found
    raise RuntimeError("nothing was measured")


def demo(folder: Path) -> float:
    """`git clone`, `make demo`: with all downloads."""
    commands = (["git", "clone", "-q", str(ROOT), "clone"], ["make", "-C", "clone", "demo"])
    return seconds(lambda: [subprocess.run(c, cwd=folder, check=True) for c in commands])


def page(data: dict[str, object]) -> str:
    """The page of the figures."""
    paths, times = data["paths"], data["help"]
    assert isinstance(paths, dict)
    assert isinstance(times, dict)
    aims = {
        "own ONNX model to its report": OWN_S,
        "Model Analyzer file to its first figure": ANALYZER_S,
    }
    lines = [
        "# A newcomer's path by the clock", "",
        f"Measured {data['started']} on {data['on']}.", "",
        "| | seconds | of a CPU | aim |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, took in paths.items():
        aim = aims.get(name)
        met = "" if aim is None else f"≤ {aim:g}: {'met' if took <= aim else 'missed'}"
        lines.append(f"| {name} | {took:.1f} | | {met} |")
    for name, took in times.items():
        aim = COMMAND_S if name else HELP_S
        met = "met" if took["wall"] <= aim else "missed"
        command = f"harness {name} --help".replace("  ", " ")
        numbers = f"{took['wall']:.2f} | {took['cpu']:.2f}"
        lines.append(f"| `{command}` | {numbers} | ≤ {aim:g}: {met} |")
    return "\n".join([*lines, "", "Reproduce: `python benchmarks/newcomer.py`", ""])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--demo", action="store_true")
    asked = parser.parse_args()
    machine, paths = describe_machine(), dict[str, float]()
    started = f"{datetime.now(UTC):%Y-%m-%d}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.demo:
            paths["clone to the demo's report, downloads and all"] = demo(folder)
        paths["own ONNX model to its report"] = own_model(folder)
        paths["Model Analyzer file to its first figure"] = analyzer(folder)
    on = f"{machine['cpu']['model']}, {machine['cpu']['usable']} cores, Python {machine['python']}"
    data: dict[str, object] = {
        "started": started, "on": on, "paths": paths, "help": helps(asked.repeats),
        "machine": machine, "packages": package_versions(packages()),
    }  # fmt: skip
    text = page(data)
    print(text)
    if asked.output:
        asked.output.mkdir(parents=True, exist_ok=True)
        (asked.output / "newcomer.md").write_text(text, "utf-8")
        (asked.output / "newcomer.json").write_text(json.dumps(data, indent=1), "utf-8")


if __name__ == "__main__":
    main()
