"""The output's reader or the terminal goes away, really: the run ends as by Ctrl-C, or goes on."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.small_disk import mounted

from harness.analysis.verdict import verdict
from harness.results.events import RunEnded
from harness.results.rows import MeasurementRow
from harness.results.store import read_run

FAKE = """
scenario: endings
model: {name: nothing, source: {fake: {}}}
backends: [{kind: fake, service_time_ms: 2.0, jitter: 0.05}]
load: {batch_sizes: [1, 2, 4, 8], concurrency: [1, 2]}
measurement: {profile: quick, rounds: 2, warmup: 20ms, warmup_requests: 2, window: 200ms}
"""
COMMAND = [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "s.yaml").write_text(FAKE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_interrupted_and_resume(run: Path) -> None:
    """A partial report is there, and the rest is measured later."""
    data = read_run(run)
    assert [e.status for e in data.rows(RunEnded)] == ["interrupted"]
    assert not data.failures
    for name in ("report.html", "report.pdf", "summary.csv"):
        assert (run / name).stat().st_size > 0
    again = subprocess.run(
        [*COMMAND[:4], "--resume", "run", "--quiet", "--no-report"], capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    after = read_run(run)
    assert after.complete and len(after.measurements) == 16, again.stderr
    assert after.measurements[: len(data.measurements)] == data.measurements
    assert again.returncode == verdict(after).code


def await_measurement(run: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            if read_run(run).rows(MeasurementRow):
                return
        time.sleep(0.05)
    raise AssertionError("nothing was measured")


@pytest.mark.parametrize("how", [pytest.param("closed", marks=pytest.mark.slow), "SIGHUP"])
def test_a_terminal_that_goes_away_is_as_ctrl_c(folder: Path, how: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execv(sys.executable, COMMAND)
    try:
        os.set_blocking(terminal, False)
        end = time.monotonic() + 120
        while time.monotonic() < end and not (folder / "run" / "journal.jsonl").exists():
            with contextlib.suppress(BlockingIOError):
                os.read(terminal, 1 << 16)
            time.sleep(0.05)
        await_measurement(folder / "run")
        children = psutil.Process(pid).children(recursive=True)
        if how == "SIGHUP":
            os.kill(pid, signal.SIGHUP)
    finally:
        os.close(terminal)  # the kernel sends SIGHUP, and writing fails with EIO
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) in (129, 130)
    assert not psutil.wait_procs(children, timeout=10)[1]
    check_interrupted_and_resume(folder / "run")


def test_a_reader_of_events_that_leaves_interrupts_the_run(folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "bash", *COMMAND, "--json"],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert (done.returncode, done.stderr.strip()) == (
        141, "interrupted; finish it with: harness run --resume run"
    )  # fmt: skip
    assert json.loads(done.stdout)["event"] == "plan"
    check_interrupted_and_resume(folder / "run")


@pytest.mark.parametrize(
    "redirection",
    ["2>/dev/full", *(pytest.param(p, marks=pytest.mark.slow) for p in ("2>&1 | head -1", "2>&-"))],
)
def test_a_run_goes_on_without_anybody_who_reads_its_lines(redirection: str) -> None:
    subprocess.run(
        ["bash", "-c", f'"$@" --no-report {redirection}', "bash", *COMMAND],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    data = read_run(Path("run"))
    assert data.complete and len(data.measurements) == 16


def test_a_full_disk_behind_stdout_is_said_and_the_run_is_whole() -> None:
    done = subprocess.run(
        ["bash", "-c", '"$@" >/dev/full', "bash", *COMMAND], capture_output=True, text=True,
        check=False, timeout=200,
    )  # fmt: skip
    assert "error: standard output can't be written: No space left on device" in done.stderr
    assert "internal" not in done.stderr
    data = read_run(Path("run"))
    assert data.complete and Path("run/report.html").exists()
    assert done.returncode == (verdict(data).code or 3)


def harness(*words: str, temporary: Path, **more: str) -> subprocess.Popen[str]:
    """A subcommand with a TMPDIR of its own."""
    temporary.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(temporary), **more},
    )  # fmt: skip


def await_(what: Callable[[], object], why: str) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, why
        time.sleep(0.01)


SERVED = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""


TELEMETRY = ("telemetry", "serve", "--port", "0", "--pid", "PID")
PREPARED = """
scenario: prepared
model: {name: m, source: {torch: "asleep:make"}, inputs: [{name: x, shape: [batch, 1]}]}
backends: [{kind: onnxruntime}]
load: {concurrency: 1}
"""


@pytest.mark.parametrize(("number", "words"), [
    (signal.SIGKILL, TELEMETRY), (signal.SIGKILL, ("doctor",)), (signal.SIGTERM, ("doctor",)),
    (signal.SIGKILL, ("prepare", "prepared.yaml")),
    pytest.param(signal.SIGKILL, ("triton", "serve", "--repository", "models"),
                 marks=pytest.mark.triton),
], ids=str)  # fmt: skip
def test_nothing_is_left_of_a_command_that_is_ended(
    folder: Path, number: int, words: tuple[str, ...]
) -> None:
    version = folder / "models" / "m" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text("class TritonPythonModel:\n    def execute(self, r): ...\n")
    (version.parent / "config.pbtxt").write_text(SERVED)
    (folder / "prepared.yaml").write_text(PREPARED)
    (folder / "asleep.py").write_text("import time\ntime.sleep(60)\n")
    if words == ("doctor",):  # so that it is not at its end before it is ended
        (folder / "onnxruntime.py").write_text("import time\ntime.sleep(120)\n")
    temporary = folder / "temporary"
    words = tuple(str(os.getpid()) if word == "PID" else word for word in words)
    process = harness(
        *words, temporary=temporary, HARNESS_TELEMETRY_TOKEN="t" * 32,
        XDG_CACHE_HOME=str(folder / "cache"),
        PYTHONPATH=os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
    )  # fmt: skip
    try:
        await_(lambda: any(temporary.glob("harness-*")) or process.poll() is not None, "no folder")
        time.sleep(1.0)
        assert process.poll() is None, process.communicate()
        below = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(number)
        process.communicate(timeout=40)  # a probe of the doctor may take 60
    assert process.returncode in (-signal.SIGKILL, 130, 0)  # serve ends as it should
    await_(lambda: not any(temporary.glob("harness-*")), "the folder stays")
    assert not psutil.wait_procs(below, timeout=20)[1]
    shared = f"harness-*-{process.pid}-*"
    await_(lambda: not any(Path("/dev/shm").glob(shared)), "shared memory stays")


def test_a_full_disk_ends_a_run_that_a_larger_one_finishes(folder: Path) -> None:
    text = FAKE.replace("[1, 2, 4, 8]", "[1, 2]").replace("rounds: 2", "rounds: 1")
    (folder / "s.yaml").write_text(text)
    with mounted(folder / "disk", 48) as disk:
        command = [*COMMAND[:-1], "disk/run"]
        full = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        assert full.returncode in (1, 3)
        assert "No space left on device: disk/run/" in full.stderr
        assert "can't be written (0.0 MB are free there)" in full.stderr
        assert "internal" not in full.stderr and "died" not in full.stderr
        before = read_run(disk.path / "run")
        disk.resize(20_000)
        again = subprocess.run(
            [*COMMAND[:4], "--resume", "disk/run", "--quiet", "--no-report"],
            capture_output=True, text=True, check=False, timeout=200,
        )  # fmt: skip
        after = read_run(disk.path / "run")
        assert again.returncode == verdict(after).code, again.stderr
        assert after.complete and len(after.measurements) == 4
        assert after.measurements[: len(before.measurements)] == before.measurements
        assert not [*after.damage, *after.damaged_files()]
        assert not list((disk.path / "run").rglob(".*.tmp"))
