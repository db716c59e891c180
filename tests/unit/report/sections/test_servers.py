"""Tables of composing models, /metrics and empty servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.rows import measurement

from harness.analysis.summary import SummaryRow, summarize
from harness.report.model.blocks import Table
from harness.report.model.context import build_context
from harness.report.outputs.csv import write_csvs
from harness.report.sections.servers import composing_table, metrics_table, server_only_table
from harness.results.rows import ServerOnlyRow
from harness.results.store import RunStore, read_run

S = 1_000_000_000
METRICS: dict[str, Any] = {
    "model": "m", "requests": 100.0, "failures": {"BACKEND": 0.0, "REJECTED": 0.0},
    "inferences": 200.0, "executions": 50.0, "duration_us": {}, "cache": {},
    "pending": {"m": [0.0, 3.0, 1.0]}, "pinned_mib": {"used": 0.0, "total": 256.0}, "gpus": {},
    "joules_per_inference": None,
}  # fmt: skip
PART = {"count": 100, "failures": 1, "inferences": 200, "executions": 50, "queue": 500.0,
        "compute_input": 100.0, "compute_infer": 4000.0, "compute_output": 20.0}  # fmt: skip


def rows(*details: dict[str, Any]) -> list[SummaryRow]:
    """One point; a round for each of `details`, with a window of two seconds."""
    place = {"point": "t/b2/c4", "backend": "t", "batch_size": 2, "concurrency": 4}
    return summarize(measurement(**place, round=i, details=d) for i, d in enumerate(details))


def as_dicts(found: Table | None) -> list[dict[str, str]]:
    assert found is not None
    titles = [h.text for h in found.headers]
    return [dict(zip(titles, (c.text for c in row), strict=True)) for row in found.rows]


def test_composing_models_over_the_rounds() -> None:
    slower = {**PART, "compute_infer": 6000.0, "count": 200}
    found = as_dicts(composing_table(rows({"composing": {"a": PART, "b": PART}},
                                          {"composing": {"a": slower}})))  # fmt: skip
    first, second = found
    assert first["Composing model"] == "a"
    assert (first["Batch"], first["Load"], first["Requests/s"]) == ("2", "4", "75.0")
    assert (first["Mean batch"], first["Compute Infer (ms)"]) == ("4.00", "5.00")
    assert first["Failed"] == "2"
    assert (second["Composing model"], second["Requests/s"]) == ("b", "50.0")


def test_a_model_that_had_no_requests_has_no_times() -> None:
    idle = {"count": 0, "failures": 0, "inferences": 0, "executions": 0}
    (found,) = as_dicts(composing_table(rows({"composing": {"a": idle}})))
    assert found.keys().isdisjoint({"Mean batch", "Server Queue (ms)"})  # no row has any
    assert not composing_table(rows({}))


@pytest.mark.parametrize("lacks", ["count", "failures", "inferences", "executions"])
def test_a_composing_model_of_an_older_run_that_lacks_a_count_is_left_out(lacks: str) -> None:
    older = {key: value for key, value in PART.items() if key != lacks}
    assert not composing_table(rows({"composing": {"a": older}}))
    assert not composing_table(rows({"composing": {"a": {}}}))
    (found,) = as_dicts(composing_table(rows({"composing": {"a": older}},
                                             {"composing": {"a": PART}})))  # fmt: skip
    assert (found["Requests/s"], found["Failed"]) == ("50.0", "1")


def test_metrics_that_say_nothing_have_no_column() -> None:
    (found,) = as_dicts(metrics_table(rows({"metrics": METRICS})))
    assert found == {
        "Batch": "2", "Load": "4", "Failed requests": "0", "Mean batch": "4.00",
        "Pending, most": "3",
    }  # fmt: skip


def test_metrics_of_gpus_caches_and_failures() -> None:
    gpus = {"GPU-a": {"utilization_percent": 80.0, "power_w": 300.0, "memory_used_mib": 1000.0},
            "GPU-b": {"utilization_percent": 40.0, "power_w": 100.0}}  # fmt: skip
    rich = {
        **METRICS, "gpus": gpus, "failures": {"BACKEND": 2.0, "REJECTED": 1.0},
        "cache": {"hits": 30.0, "misses": 10.0}, "joules_per_inference": 0.5,
        "pinned_mib": {"used": 12.0, "total": 256.0},
    }  # fmt: skip
    made = metrics_table(
        rows({"metrics": rich}, {"metrics": {**rich, "joules_per_inference": 1.5}})
    )
    (found,) = as_dicts(made)
    assert found["Failed requests"] == "6"
    assert found["Cache hits (%)"] == "75.0"
    assert found["Pinned memory (MiB)"] == "12.0"
    assert (found["GPU utilisation (%)"], found["GPU power (W)"]) == ("80.0", "400")
    assert found["GPU memory, device (MiB)"] == "1,000"
    assert found["Energy (J/inference)"] == "1.00"
    assert made is not None
    assert made.notes == ("Failed requests by Triton's reason: BACKEND 4, REJECTED 2.",)


def test_metrics_that_were_not_read_have_no_table() -> None:
    assert not metrics_table(rows({"metrics": {"problem": "HTTP 404"}}, {}))


def test_empty_servers_in_the_report_and_the_csv_files(tmp_path: Path) -> None:
    manifest = {"scenario": {"backends": [{"name": "t", "kind": "triton"}]},
                "machine": {"gpus": [{"index": 0, "uuid": "GPU-a"}]}}  # fmt: skip
    with RunStore.create(tmp_path / "run", manifest) as store:
        store.append(ServerOnlyRow("t", 0, 1.0, 33.0, 0.5, 500.0, "process", 1.0, 80.0))
    context = build_context(read_run(tmp_path / "run"))
    (found,) = as_dicts(server_only_table(context))
    assert (found["Server of"], found["GPU memory (MiB)"]) == ("t", "500")
    files = {p.name: p.read_text().splitlines() for p in write_csvs(context, tmp_path)}
    theirs, ours = files["metrics-server-only.csv"], files["server-only.csv"]
    assert theirs[1] == f"triton-server,GPU-a,{500 * 2**20 / 1e6},1.0,80.0"
    assert ours[1] == "t,0,1.0,33.0,0.5,500.0,process,1.0,80.0"


def test_without_servers_there_is_neither(tmp_path: Path) -> None:
    RunStore.create(tmp_path / "run", {}).close()
    context = build_context(read_run(tmp_path / "run"))
    assert not server_only_table(context)
    assert "server-only.csv" not in {p.name for p in write_csvs(context, tmp_path)}
