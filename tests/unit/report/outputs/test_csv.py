"""The CSV files: exact columns, and values that are those of the rows."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from support.synthetic_run import Synthetic, write_bare, write_run

from harness.report.model.context import Context, build_context
from harness.report.outputs.csv import write_csvs
from harness.results.store import read_run

NAMES = [
    "metrics-model-inference.csv", "metrics-model-gpu.csv", "metrics-server-only.csv",
    "summary.csv", "measurements.csv",
]  # fmt: skip


def frames(context: Context, directory: Path) -> dict[str, pd.DataFrame]:
    paths = write_csvs(context, directory)
    assert [p.name for p in paths if p.name != "gap.csv"] == NAMES
    return {p.name: pd.read_csv(p) for p in paths}


def header(context: Context, directory: Path, name: str) -> str:
    write_csvs(context, directory)
    return (directory / name).read_text(encoding="utf-8").splitlines()[0]


def test_summaries_of_many_nights_can_be_put_below_each_other(tmp_path: Path) -> None:
    nights = []
    for night, more in (("mon", {}), ("tue", {"gpu": True, "constraints": {"errors": {"max": 0}}})):
        context = build_context(read_run(write_run(tmp_path / night, rounds=2, **more)))
        nights.append(frames(context, tmp_path / night)["summary.csv"])
    assert list(nights[0]) == list(nights[1])
    both = pd.concat(nights)
    assert not both.duplicated(["run", "point"]).any()
    assert {run: set(rows.hardware) for run, rows in both.groupby("run")} == {
        "mon": {"CPU AMD EPYC 9B14, 2 cores, 2 threads"},
        "tue": {"GPU(s) 1 × NVIDIA H100 80GB HBM3"},
    }
    assert both.scenario.unique().tolist() == ["resnet50-backends"]
    assert both.created.notna().all()
    assert set(both[both.run == "mon"].holds_constraints) == {"yes"}
    assert "no" in set(both[both.run == "tue"].holds_constraints)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "metrics-model-inference.csv",
            "Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,"
            "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)",
        ),
        (
            "metrics-model-gpu.csv",
            "Model,GPU UUID,Batch,Concurrency,Model Config Path,Instance Group,"
            "Satisfies Constraints,GPU Memory Usage (MB),GPU Utilization (%),GPU Power Usage (W)",
        ),
        (
            "metrics-server-only.csv",
            "Model,GPU UUID,GPU Memory Usage (MB),GPU Utilization (%),GPU Power Usage (W)",
        ),
        (
            "summary.csv",
            "point,backend,config,batch_size,concurrency,request_rate,rounds,"
            "throughput,throughput_low,throughput_high,"
            "latency_p50_ms,latency_p50_ms_low,latency_p50_ms_high,"
            "latency_p90_ms,latency_p90_ms_low,latency_p90_ms_high,"
            "latency_p95_ms,latency_p95_ms_low,latency_p95_ms_high,"
            "latency_p99_ms,latency_p99_ms_low,latency_p99_ms_high,"
            "latency_p999_ms,latency_p999_ms_low,latency_p999_ms_high,"
            "host_memory_mib,host_memory_mib_least,gpu_memory_mib,gpu_memory_mib_least,"
            "gpu_utilization_percent,gpu_power_w,gpu_power_w_low,gpu_power_w_high,"
            "joules_per_inference,joules_per_inference_low,joules_per_inference_high,"
            "cpu_cores,cpu_cores_low,cpu_cores_high,"
            "errors,valid,flags,rounds_disturbed,holds_constraints,recommended,"
            "run,scenario,model,created,hostname,hardware,commit,harness_version,sizes",
        ),
    ],
)
def test_columns_are_exact(cpu: Context, tmp_path: Path, name: str, expected: str) -> None:
    assert header(cpu, tmp_path, name) == expected


def test_summary_has_a_row_a_point_in_full_precision(cpu: Context, tmp_path: Path) -> None:
    found = frames(cpu, tmp_path)["summary.csv"].set_index("point")
    assert len(found) == len(cpu.rows) == 24
    for row in cpu.rows:
        line = found.loc[row.point]
        if row.throughput is None:
            assert pd.isna(line["throughput"])
            assert line["flags"] == "failed_server_died"
            assert not line["valid"]
            continue
        assert line["throughput"] == pytest.approx(row.throughput.value, rel=1e-12)
        assert line["throughput_low"] == pytest.approx(row.throughput.low, rel=1e-12)
        p99 = row.value("latency_p99_ms")
        assert (
            pd.isna(line["latency_p99_ms"])
            if p99 is None
            else line["latency_p99_ms"] == (pytest.approx(p99.value, rel=1e-12))
        )
    assert found["latency_p99_ms"].isna().any()


def test_measurements_has_a_row_a_point_and_round(cpu: Context, tmp_path: Path) -> None:
    found = frames(cpu, tmp_path)["measurements.csv"]
    assert len(found) == len(cpu.data.measurements) == 68
    assert not found.duplicated(["point", "round"]).any()
    for measured in cpu.data.measurements[:5]:
        line = found[(found.point == measured.point) & (found["round"] == measured.round)].iloc[0]
        assert line["throughput"] == pytest.approx(measured.throughput)
        assert line["window_s"] == pytest.approx(25.0)
        assert line["requests"] == measured.requests
    triton = found[found.backend.str.startswith("triton")]
    assert triton["server_compute_infer_us"].notna().all()
    assert found[found.backend.str.startswith("torch")]["server_queue_us"].isna().all()


def test_counts_are_whole_also_where_some_rows_have_none(cpu: Context, tmp_path: Path) -> None:
    write_csvs(cpu, tmp_path)
    with (tmp_path / "measurements.csv").open(newline="", encoding="utf-8") as file:
        found = {(r["point"], r["round"]): r["server_count"] for r in csv.DictReader(file)}
    assert found == {
        (m.point, str(m.round)): "" if m.server_count is None else str(m.server_count)
        for m in cpu.data.measurements
    }
    assert "" in found.values()
    assert any(found.values())


def test_energy_power_and_the_range_of_memory(gpu: Context, tmp_path: Path) -> None:
    found = frames(gpu, tmp_path)
    summary = found["summary.csv"].set_index("point")
    row = next(r for r in gpu.rows if r.point == "torch-cuda-fp32/b1/c4")
    line = summary.loc[row.point]
    for name, interval in (
        ("gpu_power_w", row.metrics["gpu_power_w"]),
        ("joules_per_inference", row.joules_per_inference),
    ):  # fmt: skip
        assert interval is not None
        ends = [line[name], line[f"{name}_low"], line[f"{name}_high"]]
        assert ends == pytest.approx([interval.value, interval.low, interval.high], rel=1e-12)
    assert line["gpu_utilization_percent"] == row.plain("gpu_utilization_percent")
    rounds = found["measurements.csv"]
    rounds = rounds[rounds.point == row.point]
    for name in ("host_memory_mib", "gpu_memory_mib"):
        assert line[name] == rounds[name].max()
        assert line[f"{name}_least"] == rounds[name].min()
    done = rounds["throughput"] * rounds["window_s"]
    energy = rounds["gpu_energy_j"] / done
    assert rounds["joules_per_inference"].to_list() == pytest.approx(energy.to_list())
    assert set(rounds["gpu_sm_clock_mhz_least"]) == {1965.0}
    assert set(rounds["gpu_sm_clock_mhz_most"]) == {1980.0}
    assert rounds["gpu_temperature_c"].to_list() == [52.0, 53.0, 54.0]


def test_model_analyzer_files_without_a_gpu(cpu: Context, tmp_path: Path) -> None:
    found = frames(cpu, tmp_path)
    inference = found["metrics-model-inference.csv"]
    assert len(inference) == 23  # the point that never ran has no line
    assert set(inference["Model"]) == {"resnet50"}
    assert set(inference["Satisfies Constraints"]) == {"Yes"}
    triton = inference[inference["Model Config Path"].str.startswith("triton")]
    assert set(triton["Instance Group"]) == {"2:CPU"}
    assert set(triton["Max Batch Size"]) == {4}
    assert found["metrics-model-gpu.csv"].empty


def test_model_analyzer_memory_is_in_megabytes(gpu: Context, tmp_path: Path) -> None:
    found = frames(gpu, tmp_path)["metrics-model-gpu.csv"]
    assert set(found["GPU UUID"]) == {"GPU-5d2b7c1e-0f4a-4d0e-9a53-2f1c6b9d8e70"}
    row = next(r for r in gpu.rows if r.point == "torch-cuda-fp32/b1/c1")
    line = found[
        (found["Model Config Path"] == "torch-cuda-fp32")
        & (found["Batch"] == 1)
        & (found["Concurrency"] == 1)
    ].iloc[0]
    assert row.gpu_memory_mib is not None
    assert line["GPU Memory Usage (MB)"] == pytest.approx(row.gpu_memory_mib * 1.048576)
    assert row.metrics["gpu_power_w"] is not None
    assert line["GPU Power Usage (W)"] == pytest.approx(row.metrics["gpu_power_w"].value)
    assert {"Yes", "No"} <= set(found["Satisfies Constraints"])


def test_empty_run_has_all_files(tmp_path: Path) -> None:
    context = build_context(read_run(write_bare(tmp_path / "bare")))
    assert all(frame.empty for frame in frames(context, tmp_path / "out").values())


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t"])
def test_no_text_is_a_formula_and_numbers_stay_numbers(tmp_path: Path, begin: str) -> None:
    name = f"{begin}cmd|'calc'!A0"
    backends = [Synthetic(name, "torch", 9.0, 0.6)]
    context = build_context(read_run(write_run(tmp_path / "run", backends=backends)))
    for path in write_csvs(context, tmp_path / "out"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        bad = [c for c in cells if c[:1] in tuple("=+-@\t\r\n") and not _is_number(c)]
        assert not bad, path
    found = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert set(found["backend"]) == {f"'{name}"}
    assert found["throughput"].dtype == float


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
