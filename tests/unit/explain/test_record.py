"""A point as JSON: the figures of the summary, every round, and what is lacking."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from harness.analysis.summary import summarize
from harness.explain.command import command
from harness.explain.record import SCHEMA
from harness.results.store import read_run


def said(*args: object) -> object:
    found = CliRunner().invoke(command, [*map(str, args), "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_a_point_says_what_its_row_says(cpu_run: Path) -> None:
    row = next(r for r in summarize(read_run(cpu_run).measurements) if r.flags and r.rounds > 1)
    found = said(cpu_run, row.point)
    assert found["schema"] == SCHEMA == "harness-explain/1" and found["point"] == row.point
    rate = row.throughput
    assert found["metrics"]["throughput"] == {
        "value": rate.value, "low": rate.low, "high": rate.high,
    }  # fmt: skip
    assert found["metrics"]["gpu_power_w"] is None, "not measured is null, not 0"
    assert set(found["flags"]) == set(row.every_flag)
    rounds = found["rounds"]
    assert [r["round"] for r in rounds] == [m.round for m in row.every]
    assert [r["metrics"]["throughput"] for r in rounds] == row.per_round("throughput")
    assert not any(r["samples_read"] for r in rounds), "the synthetic run has none"


def test_without_a_point_the_names(cpu_run: Path) -> None:
    names = said(cpu_run)["points"]
    assert names == [r.point for r in summarize(read_run(cpu_run).measurements,
                                                read_run(cpu_run).failures)]  # fmt: skip


def test_a_failed_point_has_its_failure(cpu_run: Path) -> None:
    failed = next(f for f in read_run(cpu_run).failures if f.fix)
    found = said(cpu_run, failed.point)
    assert failed.message in [f["message"] for f in found["failures"]]
