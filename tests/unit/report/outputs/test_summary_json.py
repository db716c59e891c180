"""summary.json: what it says is what the report says, by a schema that is kept."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT
from support.rows import with_metrics
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.report.model.context import Context, build_context
from harness.report.outputs import csv, summary_json
from harness.report.outputs.summary_json import render_summary
from harness.results.store import read_run
from harness.scenario.metrics import METRICS

BOUNDS = {"latency_p99_ms": {"max": 8.0}, "cpu_cores": {"max": 2.0}}


def written(context: Context) -> dict[str, Any]:
    found = json.loads(render_summary(context), parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def bounded(tmp_path_factory: pytest.TempPathFactory) -> Context:
    run = tmp_path_factory.mktemp("bounded") / "night-1"
    return build_context(read_run(write_run(run, gpu=True, failures=False, constraints=BOUNDS)))


def test_it_says_what_was_run_and_what_came_out(bounded: Context) -> None:
    found = written(bounded)
    assert (found["schema_version"], found["run"]) == (1, "night-1")
    assert found["scenario"] == "resnet50-backends"
    assert found["hardware"] == "GPU(s) 1 × NVIDIA H100 80GB HBM3"
    assert found["complete"] is True
    assert found["exit_code"] == 4
    assert found["verdict"] == "whether the constraints hold is not decided"
    assert found["constraints"] == BOUNDS
    assert len(found["points"]) == len(bounded.rows) == 24
    assert found["answer"][0].startswith("In 72 measurements")


def test_each_point_says_of_each_constraint_whether_it_holds(bounded: Context) -> None:
    signs = set()
    for point in written(bounded)["points"]:
        tail, cores = point["constraints"]
        value = point["latency_p99_ms"]
        assert (tail["metric"], tail["max"], tail["min"]) == ("latency_p99_ms", 8.0, None)
        assert tail["value"] == value
        assert tail["margin"] == pytest.approx((8.0 - value) / 8.0)
        assert (cores["holds"], cores["value"], cores["margin"]) == ("unknown", None, None)
        assert point["holds_constraints"] in ("no", "unknown")
        signs.add(tail["holds"])
    assert signs >= {"yes", "no"}


def test_without_constraints_the_recommended_point_is_the_reports(cpu: Context) -> None:
    found = written(cpu)
    assert cpu.choice.recommended is not None
    assert found["recommended"] == cpu.choice.recommended.point
    assert [p["point"] for p in found["points"] if p["recommended"]] == [found["recommended"]]
    assert found["ties"] == [row.point for row in cpu.choice.tied]
    ranked = {p["point"]: p["rank"] for p in found["points"]}
    assert ranked[found["ties"][0]] == "1"
    assert {p["holds_constraints"] for p in found["points"]} == {"yes"}
    assert found["exit_code"] == 1  # points of it failed
    assert "failed_hung" in ";".join(p["flags"] for p in found["points"])


def test_what_lies_beyond_the_timeout_is_a_string(cpu: Context) -> None:
    rows = (with_metrics(cpu.rows[0], latency_p99_ms=float("inf")), *cpu.rows[1:])
    assert written(replace(cpu, rows=rows))["points"][0]["latency_p99_ms"] == "inf"


@pytest.mark.parametrize("write", [write_all_failed, write_bare])
def test_runs_without_a_number_have_one_too(tmp_path: Path, write: object) -> None:
    assert callable(write)
    found = written(build_context(read_run(write(tmp_path / "r"))))
    assert found["recommended"] is None
    assert found["exit_code"] == (1 if found["complete"] else 130)


def test_the_page_names_every_key_with_its_meaning() -> None:
    page = (ROOT / "docs" / "reports.md").read_text("utf-8")
    file = {key: meaning for key, (meaning, _) in summary_json.KEYS.items()}
    for keys in (file, summary_json.POINT, summary_json.CONSTRAINT):
        for key, meaning in keys.items():
            assert f"| `{key}` | {meaning} |" in page


def test_no_key_is_there_that_the_page_does_not_name(bounded: Context, cpu: Context) -> None:
    page = (ROOT / "docs" / "reports.md").read_text("utf-8")
    table = page.partition("| key of `decision` | |")[2].partition("\n\n")[0]
    for found in (written(bounded), written(cpu)):
        assert found.keys() == summary_json.KEYS.keys()
        assert [*found["decision"]] == re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
        for point in found["points"]:
            ends = {f"{name}_{end}" for name in METRICS for end in ("low", "high")}
            assert point.keys() <= {*csv.SUMMARY, *summary_json.POINT, *ends} - {*csv.RUN}
            for constraint in point["constraints"]:
                assert constraint.keys() == summary_json.CONSTRAINT.keys()


def test_keys_of_version_1_stay() -> None:
    """Who removes one, or changes its meaning, makes a new version."""
    kept = {
        "schema_version", "run", "scenario", "model", "created", "hostname", "hardware", "commit",
        "harness_version", "complete", "verdict", "exit_code", "answer", "objective", "constraints",
        "gate", "recommended", "ties", "points", "capacities",
    }  # fmt: skip
    assert summary_json.SCHEMA > 1 or kept <= set(summary_json.KEYS)
