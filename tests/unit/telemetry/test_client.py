"""The real sampler process, watching a real process tree."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.small_disk import mounted

from harness.results.series import SeriesKey
from harness.system.guard import spawn
from harness.telemetry.client import Telemetry

HOG = (
    "x = bytearray(200 * 2**20); x[::4096] = b'1' * len(x[::4096]); "
    "print('ready', flush=True); input()"
)

key = SeriesKey.parse


def test_memory_and_cpu_of_a_tree(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        process = spawn([sys.executable, "-c", HOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process._process.stdout is not None
        assert process._process.stdout.readline() == b"ready\n"
        telemetry.watch([process.pid])
        begin = time.monotonic_ns()
        used = time.process_time()
        while time.process_time() - used < 0.2:
            pass
        end = time.monotonic_ns()
        readings = telemetry.read()
        process.kill()
        telemetry.save(tmp_path / "t.parquet")
    assert telemetry.problem == ""
    peak = readings[key("host_bytes")].within(begin, end).peak()
    assert peak is not None
    assert 200 * 2**20 < peak < 260 * 2**20
    machine = readings[key("machine_cpu_s")].rate(begin, end)
    assert machine is not None
    assert machine > 0  # this very test was spinning
    assert (tmp_path / "t.parquet").stat().st_size > 0
    assert not (tmp_path / "raw").exists()


def test_watch_forgets_what_came_before(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        telemetry.watch([])
        telemetry.read()
        before = time.monotonic_ns()
        telemetry.watch([])
        assert all(s.t_ns[0] >= before for s in telemetry.read().values())


def suspend_sampler(telemetry: Telemetry) -> None:
    for process in psutil.Process(telemetry._sampler.pid).children(recursive=True):
        process.suspend()


@pytest.mark.parametrize(
    ("fault", "seconds", "why"),
    [
        (lambda t: t._sampler.process.kill(), 30.0, "the telemetry sampler was killed by SIGKILL"),
        (suspend_sampler, 0.3, "the telemetry sampler gave no answer for 0.3 s"),
    ],
)
def test_a_dead_or_stopped_sampler_is_a_problem_not_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Telemetry], None],
    seconds: float, why: str,
) -> None:  # fmt: skip
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        telemetry.watch([])
        assert telemetry.read()
        monkeypatch.setattr("harness.telemetry.client.ANSWER_S", seconds)
        fault(telemetry)
        for _ in range(2):
            assert telemetry.read() == {}
            assert telemetry.problem.startswith(f"no telemetry: {why}")
            why = "the telemetry sampler was ended before"
        monkeypatch.setattr("harness.telemetry.client.ANSWER_S", 30.0)
        telemetry.watch([])  # with another
        assert telemetry.read()
        assert telemetry.problem == ""


def test_a_full_disk_is_the_reason_for_no_telemetry(tmp_path: Path) -> None:
    with (
        mounted(tmp_path / "disk") as disk,
        Telemetry(disk.path / "raw", tmp_path / "log") as telemetry,
    ):
        telemetry.watch([])
        disk.fill()
        end = time.monotonic() + 20
        while not telemetry.problem and time.monotonic() < end:
            telemetry.read()
        assert "No space left on device" in telemetry.problem
        assert f"{disk.path}/raw can't be written" in telemetry.problem
        disk.clear()
        telemetry.watch([])
        assert telemetry.read() and not telemetry.problem
