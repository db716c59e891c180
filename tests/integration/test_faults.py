"""Every fault, provoked for real: recorded on its point with its reason while the rest goes on."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.paths import DATA
from support.run_events import events_until
from support.small_disk import mounted
from support.small_memory import limited
from support.tiny_onnx import tiny_onnx

from harness.analysis.verdict import verdict
from harness.results.events import RunEnded
from harness.results.store import RunData, read_run

MODELS = DATA / "models"

MEASUREMENT = """
measurement: {profile: quick, rounds: 2, warmup: 20ms, warmup_requests: 2, window: 100ms,
              window_requests: 11, window_max: 5s, request_timeout: 2s}
"""

TORCH = """
scenario: faults
model:
  name: faulty
  source: {{torch: "faulty_model:make", kwargs: {{fault: {fault}}}}}
  inputs: [{{name: x, shape: [batch, 4]}}]
backends:
  - {{kind: torch}}
load: {{batch_sizes: [1, 2, 3], concurrency: 2}}
""" + MEASUREMENT.replace("{", "{{").replace("}", "}}")


def slow(*values: object) -> Any:
    """A case that `make slow` runs: others are like it."""
    return pytest.param(*values, marks=pytest.mark.slow)


def harness(
    *args: object, cwd: Path, before: Sequence[str] = (), **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "harness", *map(str, args)], cwd=cwd, text=True,
        capture_output=True, timeout=240, check=False, **kwargs,
    )  # fmt: skip


def run_torch(
    tmp_path: Path, fault: str, *options: str, before: Sequence[str] = ()
) -> tuple[subprocess.CompletedProcess[str], RunData]:
    (tmp_path / "faulty_model.py").write_text((MODELS / "faulty_model.py").read_text())
    (tmp_path / "s.yaml").write_text(TORCH.format(fault=fault))
    result = harness("run", "s.yaml", "--output", "run", *options, cwd=tmp_path, before=before)
    assert (tmp_path / "run").exists(), result.stderr
    return result, read_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("fault", "reason", "message", "tries"),
    [
        ("raise", "raised", "the second batch size is cursed", 2),
        ("hang", "hung", "", 1),
        slow("segfault", "died", "SIGSEGV", 2),
        slow("exit", "died", "exited with code 3", 2),
        slow("memory", "out_of_memory", "", 1),
    ],
)
def test_a_fault_costs_only_its_own_point(
    tmp_path: Path, fault: str, reason: str, message: str, tries: int
) -> None:
    shown = fault in ("raise", "memory")  # a report of each would say the same
    result, run = run_torch(tmp_path, fault, *([] if shown else ["--no-report"]))
    point = "torch-cpu-fp32/b2/c2"
    assert {f.point for f in run.failures} == {point}
    assert [f.reason for f in run.failures] == [reason] * tries
    assert message in run.failures[0].message
    measured = {(m.point, m.round) for m in run.measurements}
    assert measured == {(f"torch-cpu-fp32/b{b}/c2", r) for b in (1, 3) for r in (0, 1)}
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert point in result.stdout
    assert (tmp_path / "run" / "report.html").exists() == shown
    assert (tmp_path / "run" / "report.pdf").exists() == shown


def test_a_memory_limit_that_ends_a_worker_is_named_on_its_point(tmp_path: Path) -> None:
    with limited(f"harness-test-{os.getpid()}", 900) as group:
        # filling it takes seconds where others want the processors too, which is no hanging
        patient = ("--set", "measurement.request_timeout=30s")
        options = ("--no-report", "--set", "measurement.rounds=1", *patient)
        result, run = run_torch(tmp_path, "fill", *options, before=group)
    (failure,) = run.failures
    assert (failure.point, failure.reason) == ("torch-cpu-fp32/b2/c2", "died")
    assert failure.message.startswith(
        "the worker was killed by SIGKILL (its control group was out of memory: the limit is "
        "900 MiB)"
    )
    assert {m.point for m in run.measurements} == {f"torch-cpu-fp32/b{b}/c2" for b in (1, 3)}
    assert run.complete and result.returncode == 1


def test_a_cache_that_was_filled_and_is_read_only_now_is_used(tmp_path: Path) -> None:
    tiny_onnx(tmp_path / "tiny.onnx")
    (tmp_path / "s.yaml").write_text(
        "scenario: s\nmodel: {name: tiny, source: {onnx: tiny.onnx}}\n"
        "backends: [{kind: onnxruntime}]\nload: {concurrency: 1}\n" + MEASUREMENT
    )
    with mounted(tmp_path / "cache", 4096) as disk:
        env = {**os.environ, "XDG_CACHE_HOME": str(disk.path)}
        for command in (("run", "--no-report", "-o", "a"), ("validate", "--deep")):
            assert harness(*command, "s.yaml", cwd=tmp_path, env=env).returncode in (0, 4)
        disk.read_only()
        done = harness("run", "s.yaml", "--no-report", "-o", "b", cwd=tmp_path, env=env)
        assert done.returncode in (0, 4), done.stdout + done.stderr
        assert harness("validate", "--deep", "s.yaml", cwd=tmp_path, env=env).returncode == 0
    run = read_run(tmp_path / "b")
    assert run.measurements and not run.failures
    assert {row.status for row in run.parity} == {"agrees"}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        slow("export_exit", "the worker exited with code 3; its last words: no way to export this"),
        ("export_killed", "(the kernel's out-of-memory killer does this: see dmesg)"),
    ],
)
def test_a_worker_that_ends_while_preparing_costs_those_who_need_the_format(
    tmp_path: Path, fault: str, why: str
) -> None:
    (tmp_path / "faulty_model.py").write_text((MODELS / "faulty_model.py").read_text())
    scenario = TORCH.format(fault=fault).replace(
        "- {kind: torch}", "- {kind: torch}\n  - {kind: onnxruntime}"
    )
    scenario = scenario.replace("[1, 2, 3]", "[1]").replace("rounds: 2", "rounds: 1")
    (tmp_path / "s.yaml").write_text(scenario)
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = harness("run", "s.yaml", "--output", "run", "--no-report", cwd=tmp_path, env=env)
    run = read_run(tmp_path / "run")
    assert {m.backend for m in run.measurements} == {"torch-cpu-fp32"}, result.stderr
    assert {f.backend for f in run.failures} == {"onnxruntime-cpu-fp32"}
    assert why in run.failures[0].message
    assert "internal" not in result.stderr
    assert result.returncode == 1


def test_a_model_that_ends_every_worker_is_said_on_every_point(tmp_path: Path) -> None:
    result, run = run_torch(tmp_path, "make_exit", "--no-report")
    assert {f.reason for f in run.failures} == {"died"}
    assert len({f.point for f in run.failures}) == 3
    assert run.failures[0].message == (
        "the worker exited with code 3; its last words: no way to make this"
    )
    assert (tmp_path / "run" / run.failures[0].log).read_text().endswith("make this\n")
    assert "internal" not in result.stderr
    assert result.returncode == 1


def test_a_missing_package_is_named_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "onnxruntime.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'onnxruntime'\", name='onnxruntime')\n"
    )
    scenario = TORCH.format(fault="none").replace(
        "- {kind: torch}", "- {kind: torch}\n  - {kind: onnxruntime}"
    )
    (tmp_path / "faulty_model.py").write_text((MODELS / "faulty_model.py").read_text())
    scenario = scenario.replace("[1, 2, 3]", "[1]").replace("rounds: 2", "rounds: 1")
    (tmp_path / "s.yaml").write_text(scenario)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "blocked")}
    result = harness("run", "s.yaml", "--output", "run", "--no-report", cwd=tmp_path, env=env)
    run = read_run(tmp_path / "run")
    assert {f.reason for f in run.failures} == {"missing_package"}
    assert all(
        f.backend == "onnxruntime-cpu-fp32" and "pip install" in str(f.fix) for f in run.failures
    )
    assert {m.backend for m in run.measurements} == {"torch-cpu-fp32"}
    assert result.returncode == 3


FAKE = """
scenario: kill
model: {name: nothing, source: {fake: {}}}
backends:
  - {kind: fake, service_time_ms: 2.0, jitter: 0.05}
  - {kind: fake, name: slow, service_time_ms: 5.0}
load: {batch_sizes: [1, 2], concurrency: [1, 2]}
measurement: {profile: quick, rounds: 2, warmup: 20ms, warmup_requests: 2, window: 200ms}
"""


def start_fake(tmp_path: Path) -> subprocess.Popen[str]:
    """It can't go on to its end before what it tells was read: that does not fit into the pipe."""
    (tmp_path / "s.yaml").write_text(FAKE)
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run", "--json"],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
    return process


def gone(pids: list[int]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if not any(psutil.pid_exists(p) for p in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("measured", [slow(0), slow(1), slow(5), 9])
def test_kill_9_loses_no_finished_measurement_and_resume_finishes(
    tmp_path: Path, measured: int
) -> None:
    process = start_fake(tmp_path)
    events_until(process, "point")
    for _ in range(measured):
        events_until(process, "measurement")
    children = [p.pid for p in psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert children
    assert gone(children)
    before = read_run(tmp_path / "run").measurements
    assert len(before) >= measured
    result = harness("run", "--resume", "run", "--quiet", "--no-report", cwd=tmp_path)
    after = read_run(tmp_path / "run")
    assert result.returncode == verdict(after).code, result.stderr  # a busy machine may give flags
    assert not after.failures
    assert after.measurements[: len(before)] == before
    assert len(after.measurements) == len({(m.point, m.round) for m in after.measurements}) == 16
    assert after.complete


def test_ctrl_c_ends_cleanly_with_a_partial_report(tmp_path: Path) -> None:
    process = start_fake(tmp_path)
    events_until(process, "measurement")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in errors
    assert "Traceback" not in errors
    run = read_run(tmp_path / "run")
    last = run.events[-1]
    assert isinstance(last, RunEnded) and last.status == "interrupted"
    for name in ("report.html", "report.pdf", "summary.csv"):
        assert (tmp_path / "run" / name).stat().st_size > 0


def test_resume_refuses_a_changed_scenario_and_says_what_changed(tmp_path: Path) -> None:
    process = start_fake(tmp_path)
    events_until(process, "measurement")
    process.kill()
    process.wait()
    (tmp_path / "s.yaml").write_text(FAKE.replace("service_time_ms: 5.0", "service_time_ms: 6.0"))
    for folder, run in ((tmp_path, "run"), (tmp_path.parent, str(tmp_path / "run"))):
        result = harness("run", "--resume", run, cwd=folder)
        assert result.returncode == 2
        assert "service_time_ms was 5.0, is 6.0" in result.stderr


def test_two_harnesses_cannot_write_one_run(tmp_path: Path) -> None:
    process = start_fake(tmp_path)
    events_until(process, "measurement")
    result = harness("run", "--resume", "run", cwd=tmp_path)
    process.kill()
    process.wait()
    assert result.returncode == 2
    assert "another harness is writing" in result.stderr
