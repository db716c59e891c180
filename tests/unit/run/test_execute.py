"""A run from its beginning to its exit code, on the fake backend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.rows import measurement
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.analysis.verdict import verdict
from harness.errors import RunDirectoryError, UsageError
from harness.results.events import Event, RunEnded
from harness.results.rows import MeasurementRow
from harness.results.store import RunStore, read_run
from harness.run import execute
from harness.scenario.reading.loader import load

TEXT = """
scenario: short
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 1}]
load: {concurrency: [1, 2]}
measurement: {profile: quick, rounds: 1, warmup: 10ms, window: 50ms, window_max: 100ms}
"""


class Observed:
    """An observer that sends a signal at the first measurement."""

    def __init__(self, number: signal.Signals | None = None) -> None:
        self.number = number

    def __call__(self, event: Event) -> None:
        if isinstance(event, MeasurementRow) and self.number is not None:
            os.kill(os.getpid(), self.number)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(TEXT)
    return tmp_path


def test_a_directory_with_spaces_is_quoted_in_what_to_type() -> None:
    said = execute.Ended(Path("my run"), interrupted=True).how_to_finish("compare")
    assert said == "interrupted; finish it with: harness compare --resume 'my run'"


@pytest.mark.parametrize("number", [
    signal.SIGTERM,  # the others are sent to a whole harness in tests/integration
    *(pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGHUP, signal.SIGINT)),
])  # fmt: skip
def test_a_signal_interrupts_and_the_rest_is_measured_later(number: signal.Signals) -> None:
    hangup, before = signal.signal(signal.SIGHUP, signal.SIG_DFL), signal.getsignal(signal.SIGTERM)
    ended = execute.start(load("s.yaml"), Path("out"), nullcontext(Observed(number)))
    assert ended.interrupted
    assert ended.how_to_finish("run") == "interrupted; finish it with: harness run --resume out"
    signal.signal(signal.SIGHUP, hangup)  # else who runs the tests may have it ignored
    assert signal.getsignal(signal.SIGTERM) is before
    assert [e.status for e in read_run(Path("out")).rows(RunEnded)] == ["interrupted"]

    again = execute.resume(Path("out"), nullcontext(Observed()))
    assert not again.interrupted
    data = read_run(Path("out"))
    assert [(m.point, m.round) for m in data.measurements] and data.complete
    assert len({m.point for m in data.measurements}) == len(data.measurements) == 2


IN_ANOTHER = TEXT.replace("kind: fake,", "kind: fake, environment: mine,") + (
    "environments: {mine: {python: PYTHON}, unused: {packages: [a==1]}}"
)


def test_an_environments_lock_is_in_the_manifest_and_a_run_goes_on_with_no_other() -> None:
    Path("e.yaml").write_text(IN_ANOTHER.replace("PYTHON", sys.executable))
    ended = execute.start(load("e.yaml"), Path("out"), nullcontext(Observed(signal.SIGTERM)))
    assert ended.interrupted
    ((name, lock),) = read_run(Path("out")).manifest["environments"].items()
    assert (name, lock["python"]) == ("mine", sys.executable)
    assert lock["packages"]["numpy"]["version"]
    with RunStore.resume(Path("out"))[0] as store:
        numpy = {"numpy": {"version": "1.0"}}
        store.annotate("environments", {"mine": {**lock, "packages": numpy}})
    with pytest.raises(RunDirectoryError, match=r"mine\.packages\.numpy\.version was '1\.0'"):
        execute.resume(Path("out"), nullcontext(Observed()))


def test_an_environment_that_cant_be_made_is_a_failure_of_its_backends_alone() -> None:
    other = TEXT.replace("backends: [", "backends: [{kind: fake, service_time_ms: 1, "
                         "name: broken, environment: mine}, ")  # fmt: skip
    Path("e.yaml").write_text(other + "environments: {mine: {python: ./nothing}}")
    execute.start(load("e.yaml"), Path("out"), nullcontext(Observed()))
    data = read_run(Path("out"))
    assert {f.point.split("/")[0] for f in data.failures} == {"broken"}
    assert {f.reason for f in data.failures} == {"environment"}
    assert {m.backend for m in data.measurements} == {"fake"}
    assert data.manifest["environments"] == {}


def test_without_an_output_the_directory_has_the_scenarios_name() -> None:
    ended = execute.start(load("s.yaml"), None, nullcontext(Observed()))
    assert ended.path.parent == Path("reports")
    assert ended.path.name.startswith("short-2")


def test_another_thread_can_run_too() -> None:
    found: list[execute.Ended] = []
    thread = threading.Thread(
        target=lambda: found.append(
            execute.start(load("s.yaml"), Path("out"), nullcontext(Observed()))
        )
    )
    thread.start()
    thread.join()
    assert not found[0].interrupted


def test_a_run_is_resumed_from_its_manifest_when_the_file_is_gone(elsewhere: Path) -> None:
    execute.start(load("s.yaml", ["load.concurrency=[1]"]), Path("out"), nullcontext(Observed()))
    (elsewhere / "s.yaml").unlink()
    assert not execute.resume(Path("out"), nullcontext(Observed())).interrupted
    with pytest.raises(RunDirectoryError, match=r"would mix conditions: scenario\.load"):
        execute.resume(Path("out"), nullcontext(Observed()), overrides=["load.concurrency=[3]"])
    assert len(read_run(Path("out")).measurements) == 1


def test_exit_codes(tmp_path: Path) -> None:
    def code(path: Path) -> int:
        return verdict(read_run(path)).code

    assert code(write_all_failed(tmp_path / "failed")) == 1
    good = write_run(tmp_path / "good", failures=False)
    assert code(good) == 0
    never = {"latency_p50_ms": {"max": 0.001}}
    assert code(write_run(tmp_path / "never", failures=False, constraints=never)) == 5
    journal = good / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    first = next(line["point"] for line in lines if line["event"] == "measurement")
    for line in lines:
        if line["event"] == "measurement" and line["point"] == first:
            line["flags"] = ["client_late"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert code(good) == 4


def test_rebuilding_writes_reports_and_says_nothing_of_a_best_config(tmp_path: Path) -> None:
    run = write_bare(tmp_path / "r")
    found = execute.rebuild(run, tmp_path / "out", ["csv"])
    assert (found.best, found.why_not) == (None, "")
    assert {p.parent for p in found.report.all()} == {tmp_path / "out"}
    with pytest.raises(UsageError, match="no report format given; choose from html, pdf, csv"):
        execute.rebuild(run, None, [])


def test_a_run_whose_manifest_has_no_scenario_has_an_exit_code(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", {}) as store:
        store.append(measurement())
    assert verdict(read_run(tmp_path / "run")).code == 0


def test_a_run_imports_nothing_that_is_slow_to_import_and_not_needed(elsewhere: Path) -> None:
    """pandas and scipy.stats take longer than all the rest together."""
    code = (
        "import sys\nfrom harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'pandas', 'scipy.stats', 'torch', 'plotly'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "run", "s.yaml", "-o", "out", "--no-report", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
    assert (elsewhere / "out" / "manifest.json").exists()
