"""`harness compare`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.compared import CALIBRATION, write_blocks

from harness.compare import verdicts
from harness.compare.command import LOOKS, command
from harness.errors import UsageError
from harness.results.events import RunEnded
from harness.results.store import read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`r` has backends that differ and such that don't; `one`, `two` are stored runs."""
    folder = tmp_path_factory.mktemp("runs")
    write_blocks(folder / "r", {"a": 0.0, "same": 0.0, "slow": 0.1})
    write_blocks(folder / "open", {"a": 0.0, "b": 0.0}, rounds=2)
    for name, slower, seed in (("one", 0.0, 1), ("two", 0.1, 2)):
        write_blocks(folder / name, {"x": slower}, seed=seed, manifest={"calibration": CALIBRATION})
    return folder


def called(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(command, [str(a) for a in arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    assert isinstance(done.return_value, int)
    return done.return_value, done.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("r", "--base", "a", "--candidate", "slow"), 1, "REGRESSION: slow against a"),
        (("r", "-b", "slow", "-c", "a"), 0, "IMPROVEMENT: a against slow"),
        (("r", "-b", "a", "-c", "same"), 0, "EQUIVALENT: same against a"),
        (("open",), 4, "INCONCLUSIVE: b against a"),
        (("one", "two"), 1, "REGRESSION: two against one"),
    ],
)
def test_verdicts_and_exit_codes(
    arguments: tuple[str, ...], code: int, said: str, runs: Path
) -> None:
    paths = [runs / a if (runs / a).exists() else a for a in arguments]
    assert called(*paths, "--quiet") == (code, f"{said}\n")
    found, text = called(*paths)
    assert found == code
    assert "95 % intervals" in text


def test_every_format_is_written(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (tmp_path / "summary.md").write_text("before\n")
    files = {f: tmp_path / f for f in ("json", "markdown", "junit", "bencher")}
    options = [x for name, path in files.items() for x in (f"--{name}", path)]
    called(runs / "r", "-b", "a", "-c", "slow", *options)
    assert json.loads(files["json"].read_text())["verdict"] == "regression"
    assert files["junit"].read_text().startswith("<?xml")
    assert "slow/b1/c1" in json.loads(files["bencher"].read_text())
    assert (tmp_path / "summary.md").read_text() == "before\n" + files["markdown"].read_text()


def test_a_baseline_is_kept_and_compared_with(runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    assert called(runs / "one", "--save-baseline", file) == (0, f"baseline: {file}\n")
    code, said = called(runs / "two", "--baseline", file, "-q")
    assert (code, said) == (1, "REGRESSION: two against one\n")
    with pytest.raises(UsageError, match="one run directory"):
        called(runs / "one", runs / "two", "--baseline", file)
    with pytest.raises(UsageError, match="keeps one run directory"):
        called("--save-baseline", file)


def test_layers_need_two_backends_of_one_run(runs: Path) -> None:
    with pytest.raises(UsageError, match="go with two backends of one run"):
        called(runs / "one", runs / "two", "--layers")
    with pytest.raises(UsageError, match="a can't be looked at from close: `fake`"):
        called(runs / "r", "-b", "a", "-c", "slow", "--layers")


def test_the_looks_are_those_of_the_rule() -> None:
    assert LOOKS == verdicts.LOOKS


def test_without_anything_to_compare() -> None:
    with pytest.raises(UsageError, match="give a scenario, a run directory"):
        called()


@pytest.mark.slow
def test_a_scenario_is_measured_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text("""\
scenario: s
model: {name: m, source: {fake: {}}}
backends:
  - {kind: fake, name: quick, service_time_ms: 1}
  - {kind: fake, name: slow, service_time_ms: 3}
load: {concurrency: [1]}
measurement: {profile: quick, warmup: 5ms, window: 50ms, window_max: 60ms, window_requests: 10,
              warmup_requests: 2}
""")
    code, text = called(tmp_path / "s.yaml", "-o", tmp_path / "out", "--blocks", 4)
    assert code in (1, 4)  # on a machine that does other things too
    assert f"run directory: {tmp_path / 'out'}" in text
    assert "slow against quick" in text
    assert [e.status for e in read_run(tmp_path / "out").rows(RunEnded)] == ["complete"]
    with pytest.raises(UsageError, match="--resume goes without"):
        called(tmp_path / "s.yaml", "--resume", tmp_path / "out")


def test_help_is_quick_and_says_the_exit_codes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "compare", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Exit codes: 0 equivalent or better; 1 a regression" in " ".join(done.stdout.split())
