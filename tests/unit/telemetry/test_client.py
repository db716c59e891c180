"""The real sampler process, watching a real process tree."""

import subprocess
import sys
import time
from pathlib import Path

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
        while (time.monotonic_ns() - begin) < 300_000_000:
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


def test_a_dead_sampler_is_a_problem_not_a_failure(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        telemetry._process.kill()
        assert telemetry.read() == {}
        assert "no telemetry" in telemetry.problem
