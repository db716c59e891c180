"""A capacity search against a real Triton through the wire client, and the generator's ceiling.

No figure here depends on how busy the machine is: what is checked is that the parts agree.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.paths import ROOT

from harness.results.rows import CeilingRow
from harness.results.store import RunData, read_run

pytestmark = pytest.mark.triton

REPOSITORY = ROOT / "scenarios" / "models" / "repository"
SCENARIO = f"""
scenario: capacity
model: {{name: identity, source: {{triton: identity}}}}
backends:
  - {{name: wire, kind: triton, protocol: grpc, server: {{repository: "{REPOSITORY}"}}}}
load:
  find_capacity: {{latency_p90_ms: 50, precision: 0.5, max_rate: 150}}
  max_outstanding: 32
measurement:
  {{profile: quick, rounds: 1, rounds_max: 1, warmup: 50ms, warmup_requests: 2, window: 300ms,
    window_requests: 11, window_max: 600ms}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("capacity")
    scenario = home / "capacity.yaml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "harness", "run", str(scenario), "-o", str(home / "run")],
        text=True, capture_output=True, timeout=180, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(home / "cache"), "COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode in (0, 4, 5), done.stderr  # a busy machine may well be the limit
    assert "capacity of wire, batch 1, p90 ≤ 50 ms" in done.stdout
    return home / "run"


@pytest.fixture(scope="module")
def data(run: Path) -> RunData:
    return read_run(run)


def test_every_rate_that_was_tried_is_a_measurement_through_the_server(data: RunData) -> None:
    (found,) = data.capacities
    trials = {t["rate"]: t for t in found.details["trials"]}
    rows = {m.request_rate: m for m in data.measurements}
    assert set(rows) == {None, *trials}, "and one closed loop to begin with"
    assert max(trials) <= 150 and len(trials) == found.steps
    for rate, trial in trials.items():
        row = rows[rate]
        assert row.server_count and row.details["search"] == found.point
        assert (row.batch_size, row.config) == (1, "default")
        if trial["outcome"] == "holds":
            assert trial["within"] >= 0.9
            assert trial["goodput"] <= row.requests / 0.3 + 1e-9
    if found.rate is not None:
        held = max(r for r, t in trials.items() if t["outcome"] == "holds")
        assert found.rate == trials[held]["offered"]  # what came, of which the rate is the mean


def test_the_generators_ceiling_was_measured_and_used(run: Path, data: RunData) -> None:
    ceilings = data.rows(CeilingRow)
    assert ceilings and all(c.requests_per_s for c in ceilings), ceilings
    first = ceilings[0]
    assert (first.protocol, first.client, first.batch_size) == ("grpc", "wire", 1)
    assert first.input_bytes == 64 and first.response_bytes > 64  # FP32[16], and its frame
    known = {c.requests_per_s for c in ceilings}
    assert {m.details["ceiling"] for m in data.measurements} <= known
    shown = subprocess.run(
        [sys.executable, "-m", "harness", "explain", str(run), data.measurements[0].point],
        text=True, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert "generator's ceiling, requests/s" in shown.stdout
    html = (run / "report.html").read_text(encoding="utf-8")
    assert "Against a built-in server that only sends a prepared answer" in html


def test_the_rates_are_ranked_nowhere(run: Path) -> None:
    assert len(pd.read_csv(run / "capacity.csv")) == 1
    assert len(pd.read_csv(run / "summary.csv")) == 0
    events = [json.loads(x) for x in (run / "journal.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "run_ended" and events[-1]["status"] == "complete"
