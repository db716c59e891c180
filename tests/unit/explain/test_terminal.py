"""`harness explain`: what it prints, from a run with samples and from one without."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support import simulated_queue
from support.rows import capacity, measurement

from harness.errors import UsageError
from harness.explain.command import command
from harness.report.model.context import Context
from harness.report.model.numbers import both_text, significant
from harness.results.details import PHASES
from harness.results.rows import FailureRow
from harness.results.samples import write_samples
from harness.results.store import RunStore
from harness.scenario.points import Point


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataclasses import replace

    path = tmp_path_factory.mktemp("explain") / "run"
    with RunStore.create(path, {"scenario": {"scenario": "x"}}) as store:
        point = Point("fake", "default", 1, request_rate=150.0)
        for round_ in range(3):
            row, samples = simulated_queue.measure(point, round_, 4.0, 8.0, seed=round_)
            details = {
                "findings": {"client_late": f"seen {min(round_, 1)}"},
                "errors": {"oh": 2},
                "composing": {"part": {"count": 9, "compute_infer": 2500.0 + round_}},
            }
            if round_:
                details["metrics"] = {
                    "requests": 9.0, "failures": {"BACKEND": 7.0}, "inferences": 9.0,
                    "executions": 9.0, "pending": {"fake": [0.0, 5.0]}, "cache": {}, "gpus": {},
                    "pinned_mib": {}, "joules_per_inference": None,
                }  # fmt: skip
            row = replace(row, samples=f"samples/{round_}.parquet", details=details,
                          flags=("client_late",),
                          server_us=dict.fromkeys(PHASES, 1500.0))  # fmt: skip
            write_samples(path / row.samples, samples, {})
            store.append(row)
        store.append(FailureRow(point.id, 3, "fake", "hung", "no answer", "restart", "logs/x.log"))
        trial = {"rate": 150.0, "within": 1.0, "goodput": 149.0, "p50_ms": 4.0, "outcome": "holds"}
        store.append(capacity(
            point="fake/b1/find_capacity", backend="fake", target_ms=30.0, rate=150.0,
            goodput=149.0, low=150.0, high=158.0, steps=1,
            details={"precision": 0.05, "trials": [trial]},
        ))  # fmt: skip
    return path


def said(*args: object, columns: int = 120) -> str:
    result = CliRunner().invoke(command, [str(a) for a in args], env={"COLUMNS": str(columns)})
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_many_rounds_leave_out_neither_names_nor_digits(tmp_path: Path, columns: int) -> None:
    with RunStore.create(tmp_path / "run", {"scenario": {"scenario": "x"}}) as store:
        for n in range(7):
            details = {"block": f"CPU {n % 2} of here"}
            store.append(measurement(round=n, throughput=1234.0 + n, flags=("foreign_load",),
                                     samples=f"samples/{n}.parquet", details=details))  # fmt: skip
    text = said(tmp_path / "run", "a/b1/c1", columns=columns)
    figures = text.partition("\nflags")[0]
    assert "…" not in figures and max(map(len, figures.splitlines())) <= columns
    assert "samples/6.parquet  (not there)  CPU 0 of here" in text
    rows = [line.split()[2:] for line in text.splitlines() if line.startswith("throughput, ")]
    assert len(rows) == {80: 4, 100: 3, 200: 1}[columns]
    assert [v for row in rows for v in row][-7:] == [f"1,{234 + n}" for n in range(7)]


def test_everything_about_a_point_is_there(run: Path) -> None:
    text = said(run, "fake/b1/r150")
    assert text.startswith("fake/b1/r150  ")
    assert "open loop, batch 1, 150 requests/s · 3 rounds" in text
    for title in ("throughput, infer/s", "p99 response, ms", "slip p99, ms", "service p50, ms",
                  "server queue, ms", "latency over time", "distribution", "flags", "failures",
                  "samples"):  # fmt: skip
        assert title in text
    lines = {line.partition("  ")[0]: line.split()[-3:] for line in text.splitlines()}
    assert lines["part compute infer, ms"] == ["2.50", "2.50", "2.50"]
    assert lines["/metrics: Pending, most"] == ["n/a", "5.00", "5.00"]
    assert lines["/metrics: Failed requests"] == ["n/a", "7.00", "7.00"]
    assert "/metrics: Cache hits (%)" not in text
    assert "load generator late: the load generator sent requests too late" in text
    assert "  invalid (load generator late)\n" in text
    assert (
        "invalid in 3 of 3 rounds, load generator late: from half of the rounds on, a point is"
        in text
    )
    assert "round 1: seen 0\n" in text
    assert "round 2, 3: seen 1\n" in text
    assert "6 × oh" in text
    assert "round 4: no answer before the deadline: no answer" in text
    assert "fix: restart" in text
    assert "samples/2.parquet" in text


def test_timeline_marks_the_window_and_fits(run: Path) -> None:
    lines = [x for x in said(run, "fake/b1/r150").splitlines() if "│" in x and x[:5] == "round"]
    assert len(lines) == 3
    for line in lines:
        begin, window, *_ = line.split("│")
        # a second of warm-up before eight of window, in the same scale
        assert len(begin) - len("round 1   ") == pytest.approx(60 / 9, abs=1.5)
        assert len(window) == pytest.approx(60 * 8 / 9, abs=1.5)


def test_searched_point_lists_the_rates(run: Path) -> None:
    text = said(run, "fake/b1/find_capacity")
    assert "p99 ≤ 30 ms: 150 requests/s" in text
    assert "holds ×1" in text


def test_point_that_is_not_there_suggests_the_nearest(run: Path) -> None:
    with pytest.raises(UsageError, match=r"no point 'fake/b1/150'; did you mean 'fake/b1/r150'\?"):
        said(run, "fake/b1/150")


def test_energy_and_power_of_each_round_and_over_them(gpu: Context, cpu_run: Path) -> None:
    text = said(gpu.data.path, "torch-cuda-fp32/b1/c4")
    row = next(r for r in gpu.rows if r.point == "torch-cuda-fp32/b1/c4")
    lines = {line.partition("  ")[0]: line for line in text.splitlines()}
    for name, interval, values in (
        ("energy per inference, J", row.joules_per_inference,
         [m.joules_per_inference for m in row.measurements]),
        ("GPU power, W", row.metrics["gpu_power_w"], [m.gpu_power_w for m in row.measurements]),
    ):  # fmt: skip
        assert lines[name].split()[-3:] == [significant(v) for v in values if v is not None]
        assert both_text(interval) in lines[name]
    assert lines["GPU clock, lowest, MHz"].split()[-3:] == ["1,965"] * 3
    assert lines["GPU temperature, highest, °C"].split()[-3:] == ["52.0", "53.0", "54.0"]
    assert "GPU" not in said(cpu_run, "torch-cpu-fp32/b1/c1")


def test_run_without_samples_still_answers(cpu_run: Path) -> None:
    text = said(cpu_run, "torch-cpu-fp32/b1/c1")
    assert "latency over time" not in text
    assert "(not there)" in text
    assert "p50 latency, ms" in text
