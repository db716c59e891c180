"""The scenarios that come with the harness: one a use, each carried out in a short form."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import ROOT

from harness.results.store import read_run
from harness.scenario.reading.loader import load

FOLDER = ROOT / "scenarios"
USES = {
    "quickstart": "quickstart", "backends on a GPU": "resnet50-gpu", "search": "triton-search",
    "capacity": "capacity", "versions": "versions", "stress": "stress-triton",
    "dynamic length": "transformer", "many GPUs": "triton-gpus", "lanes": "resnet50-lanes",
    "tenants of a GPU": "tenants", "tenants of the CPU": "tenants-cpu",
}  # fmt: skip
SHORT = (
    "measurement.profile=quick", "measurement.rounds=1", "measurement.rounds_max=1",
    "measurement.warmup=20ms", "measurement.warmup_requests=2", "measurement.window=100ms",
    "measurement.window_requests=10", "measurement.window_max=400ms",
)  # fmt: skip
RUNS = {
    "quickstart": ("load.batch_sizes=[1]", "load.concurrency=[1]"),
    "triton-search": ("load.concurrency=[1]", "search=grid"),
    "capacity": ("load.find_capacity={latency_p99_ms: 200, precision: 0.5, max_rate: 40}",),
    "transformer": ("load.batch_sizes=[1]", "model.dynamic.sequence=[16, 32]"),
    "onnx-file": ("load.concurrency=[1]",),
    "triton-identity": ("load.concurrency=[1]",),
    "fake": ("load.concurrency=[1]",),
}
MEASURED = (0, 4, 5)
"""One short round on a machine where other work runs decides nothing; that is no failure here."""


def test_there_is_one_for_each_use() -> None:
    for name in USES.values():
        path = FOLDER / f"{name}.yaml"
        assert load(path).scenario.scenario == name
        assert f"scenarios/{name}.yaml" in path.read_text("utf-8").partition("\nscenario:")[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.triton
@pytest.mark.parametrize("name", RUNS)
def test_a_short_form_runs(run_cli, tmp_path: Path, name: str) -> None:
    changes = [word for change in (*SHORT, *RUNS[name]) for word in ("--set", change)]
    out = tmp_path / "run"
    done = run_cli("run", FOLDER / f"{name}.yaml", *changes, "-o", out, "-q", timeout=800)
    assert done.returncode in MEASURED, done.stderr
    run = read_run(out)
    assert not run.failures
    if name == "capacity":
        assert (out / "report.html").exists()
    else:
        assert {row.backend for row in run.measurements} == {
            backend.name for backend in load(FOLDER / f"{name}.yaml").scenario.backends
        }
    if name == "transformer":
        sizes = {row.point.split("/")[1] for row in run.measurements}
        assert sizes == {"b1,sequence=16", "b1,sequence=32"}
        assert not [row for row in run.measurements if row.errors]


@pytest.mark.slow
@pytest.mark.triton
def test_a_stress_in_a_short_form(run_cli, tmp_path: Path) -> None:
    shape = "stress.shape={spike: {base: 20, peak: 60, at: 2s, for: 2s, duration: 8s}}"
    done = run_cli(
        "stress", FOLDER / "stress-triton.yaml", "--set", shape, "--set",
        "stress.faults=[{at: 5s, kill: server}]", "-o", tmp_path / "run", timeout=280,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr  # thresholds may be missed on a busy machine
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_tenants_in_a_short_form(run_cli, tmp_path: Path) -> None:
    changes = [word for change in SHORT for word in ("--set", change)]
    out = tmp_path / "run"
    done = run_cli("share", FOLDER / "tenants-cpu.yaml", *changes, "-o", out, "-q", timeout=600)
    assert done.returncode == 4, done.stderr  # of one round nothing is decided
    run = read_run(out)
    assert run.complete
    assert not run.failures
    assert (out / "report.html").exists()
    again = run_cli("share", out, "--json", timeout=280)
    assert '"interference"' in again.stdout
