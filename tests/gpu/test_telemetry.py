"""The sampler on a real GPU, against nvidia-smi."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness.measure.gpu_gates import check_gpu
from harness.results.series import SeriesKey
from harness.system.guard import spawn
from harness.system.machine import probe_gpus
from harness.telemetry.client import Telemetry

pytestmark = pytest.mark.gpu
MIB = 2**20

HOLDS = """
from harness.backends.cuda.memory import open_cuda
cuda = open_cuda(0)
print("context", flush=True); input()
kept = cuda.allocate(1024 * 2**20)
print("allocated", flush=True); input()
"""
WORKS = """
import torch

x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
print("ready", flush=True)
while True:
    for _ in range(20):
        x @ x
    torch.cuda.synchronize()
"""


def board() -> str:
    """The first GPU that CUDA shows here, as the sampler names it."""
    return f"gpu{probe_gpus()[0][0]['index']}"


def key(name: str) -> SeriesKey:
    """Of the first GPU, written gpu0, whatever its number on this host."""
    return SeriesKey.parse(name.replace("gpu0", board()))


def _smi(pid: int) -> float | None:
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    shown = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    used = [line.split(",") for line in shown.strip().splitlines()]
    return next((float(mib) for p, mib in used if p.strip() == str(pid)), None)


def _child(code: str):
    return spawn([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _line(process) -> bytes:
    return process._process.stdout.readline()


def _go_on(process) -> None:
    process._process.stdin.write(b"\n")
    process._process.stdin.flush()


def test_memory_of_a_process_is_what_nvidia_smi_shows(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        child = _child(HOLDS)
        try:
            telemetry.watch([child.pid], "cuda:0")
            assert _line(child) == b"context\n"
            time.sleep(1.0)
            context_end = time.monotonic_ns()
            _go_on(child)
            assert _line(child) == b"allocated\n"
            time.sleep(1.0)
            end = time.monotonic_ns()
            series = telemetry.read()
            grand = subprocess.run(
                ["ps", "--ppid", str(child.pid), "-o", "pid="],
                capture_output=True, text=True, check=False,
            ).stdout.split()  # fmt: skip
            smi = [s for pid in (child.pid, *map(int, grand)) if (s := _smi(pid)) is not None]
        finally:
            child.kill()
    device = series[key("gpu0_device_bytes")]
    gained = device.within(context_end, end).peak() - device.within(0, context_end).value[-1]
    assert abs(gained - 1024 * MIB) < 0.02 * 1024 * MIB
    process = series.get(key("gpu0_process_bytes"))
    if smi and process is not None and process.value.any():
        mine = process.within(context_end, end).peak() / MIB
        assert abs(mine - sum(smi)) <= 0.02 * sum(smi)
        print(f"process {mine:.0f} MiB, nvidia-smi {sum(smi):.0f} MiB")
    else:
        print("no per-process memory here: the device's difference stands in")


def test_rates_cost_and_state_under_load(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        child = _child(WORKS)
        try:
            telemetry.watch([child.pid], "cuda:0")
            assert _line(child) == b"ready\n"
            time.sleep(1.0)
            begin = time.monotonic_ns()
            time.sleep(3.0)
            end = time.monotonic_ns()
            series = telemetry.read()
        finally:
            child.kill()
    rates = {
        name: s.within(begin, end).t_ns.size / 3.0
        for name, s in series.items()
        if name.device == board()
    }
    cost = 100 * series[key("sampler_cpu_s")].rate(begin, end)
    gaps = np.diff(series[key("gpu0_device_bytes")].within(begin, end).t_ns) / 1e6
    print("readings a second:", {str(k): round(v) for k, v in rates.items()})
    print(
        f"sampler: {cost:.1f} % of a core; gaps p50 {np.median(gaps):.2f} max {gaps.max():.1f} ms"
    )
    assert 100 < rates[key("gpu0_device_bytes")] <= 210
    assert 10 < rates[key("gpu0_power_w")] <= 21
    assert cost < 50
    assert series[key("gpu0_utilization_percent")].within(begin, end).peak() > 50
    power = series[key("gpu0_power_w")].within(begin, end).mean()
    energy = series[key("gpu0_energy_j")].rate(begin, end)
    print(f"power polled {power:.0f} W, from the energy counter {energy:.0f} W")
    assert abs(energy - power) < 0.3 * power
    print("gates:", [(f.flag, f.seen) for f in check_gpu(series, begin, end)])


def test_another_process_on_the_gpu_is_noticed(tmp_path: Path) -> None:
    with Telemetry(tmp_path / "raw", tmp_path / "log") as telemetry:
        mine = _child(HOLDS)
        other = subprocess.Popen(  # outside the run: started by a shell that has ended
            ["setsid", "--fork", sys.executable, "-c", "import time\n" + HOLDS.replace(
                "print(\"context\", flush=True); input()", "time.sleep(8); raise SystemExit")],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            telemetry.watch([mine.pid], "cuda:0")
            assert _line(mine) == b"context\n"
            other.wait()
            time.sleep(3.0)
            begin = time.monotonic_ns()
            time.sleep(1.0)
            end = time.monotonic_ns()
            series = telemetry.read()
        finally:
            mine.kill()
    process = series.get(key("gpu0_process_bytes"))
    if process is None or not process.value.any():
        pytest.skip("the driver does not show processes here")
    assert "foreign_gpu_process" in {f.flag for f in check_gpu(series, begin, end)}
