"""A signal in a run's last moments, after its last row: nothing is lost, and nothing is half."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.verdict import verdict
from harness.results.events import RunEnded
from harness.results.store import read_run

FAKE = """
scenario: last-moment
model: {name: nothing, source: {fake: {}}}
backends: [{kind: fake, service_time_ms: 2.0}]
load: {concurrency: 1}
measurement: {profile: quick, rounds: 1, warmup: 20ms, warmup_requests: 2, window: 100ms}
"""
SIGNALLED = """
import atexit, os, sys
number, moment = int(sys.argv.pop(1)), sys.argv.pop(1)
atexit.register(lambda: moment == "exit" and os.kill(os.getpid(), number))
fired = []

def fire():
    if not fired:
        fired.append(moment)
        os.kill(os.getpid(), number)

def opened(event, arguments):
    if event == "open" and str(arguments[0]).rpartition("/")[2].startswith(moment):
        fire()

sys.addaudithook(opened)
from harness.cli.main import main
from harness.analysis.verdict import verdict
from harness.results.events import RunEnded
from harness.results.store import RunStore
append = RunStore.append

def appended(store, line):
    ends = isinstance(line, RunEnded)
    if ends and moment == "before the last line":
        fire()
    append(store, line)
    if ends and moment == "after the last line":
        fire()

RunStore.append = appended
main()
"""
"""The harness, with a signal to itself at a moment: a file that it opens, or one that is named."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "s.yaml").write_text(FAKE)
    subprocess.run(
        [sys.executable, "-m", "harness", "run", "s.yaml", "-o", "run", "--quiet", "--no-report"],
        cwd=folder, check=False, capture_output=True, timeout=100,
    )  # fmt: skip
    return folder / "run"


@pytest.mark.parametrize(("number", "moment", "interrupted"), [
    (signal.SIGTERM, "before the last line", False), (signal.SIGHUP, "after the last line", False),
    (signal.SIGHUP, ".report.pdf.", True),
    (signal.SIGTERM, "exit", False), (signal.SIGHUP, "exit", False),
])  # fmt: skip
def test_a_signal_after_the_last_row_loses_nothing(
    whole: Path, tmp_path: Path, number: signal.Signals, moment: str, interrupted: bool
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    before = read_run(run)
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, str(number.value), moment, "run", "--resume", "run", "-q",
         *([] if interrupted else ["--no-report"])],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    after = read_run(run)
    assert after.complete and [e.status for e in after.rows(RunEnded)] == ["complete"] * 2
    assert after.measurements == before.measurements
    finished = {"report.html", "report.pdf"} <= {path.name for path in run.iterdir()}
    interrupted &= not (finished and done.returncode == verdict(after).code)  # it came too late
    assert done.returncode == (130 if interrupted else verdict(after).code)
    said = "interrupted; write the report with: harness report run\n" if interrupted else ""
    assert done.stderr == said
    assert not list(run.rglob(".*.tmp"))
    for name, end in (("report.html", b"</html>"), ("report.pdf", b"%%EOF\n")):
        assert not (run / name).exists() or (run / name).read_bytes().endswith(end)
