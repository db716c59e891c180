"""The terminal's table: what it shows, and what at 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from support.rows import with_metrics

from harness.analysis.summary import SummaryRow
from harness.report.model.context import Context
from harness.report.outputs.terminal_table import PointsTable, columns, fitting, name_cells
from harness.report.sections.points import status_cell
from harness.scenario.metrics import METRICS


def shown(context: Context, width: int, encoding: str = "utf-8") -> str:
    console = Console(width=width, force_terminal=False)
    options = console.options.update(width=width)
    options.encoding = encoding
    with console.capture() as capture:
        console.print(*PointsTable(context).__rich_console__(console, options), sep="\n")
    return capture.get()


def _first_remark(row: SummaryRow) -> str:
    return status_cell(row).text.split()[0].rstrip(",;")


@pytest.mark.parametrize("width", [72, 80, 100, 200])
def test_no_width_cuts_a_number_or_hides_a_status(
    cpu: Context, gpu: Context, variants: Context, width: int
) -> None:
    for context in (cpu, gpu, variants):
        text = shown(context, width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        kept = fitting(context, columns(context), width)
        assert {"batch", "load", "infer/s", "speed-up"} <= set(kept)
        for row in context.rows:
            cells = [get(row) for get in kept.values()]
            said = " ".join(cells).split()
            lines = (set(line.split()) for line in text.splitlines())
            assert any(set(said) <= line for line in lines), (row.point, said)
            assert status_cell(row).text.split()[0] in text


def test_remarks_after_the_first_are_counted_and_a_verdict_is_whole(gpu: Context) -> None:
    text = " ".join(shown(gpu, 300).split())
    for row in gpu.rows:
        status = status_cell(row)
        first, *more = status.text.partition("; ")[0].split(", ")
        counted = f"{first} +{len(more)}" if more else first
        assert (status.text if status.tone in ("bad", "good") else counted) in text
    assert any(", " in status_cell(row).text for row in gpu.rows)


def test_a_name_is_folded_at_a_hyphen(gpu: Context) -> None:
    name = max((gpu.name(row) for row in gpu.rows), key=len)
    assert name in shown(gpu, 120)
    every = columns(gpu)
    rooms = {w: name_cells(gpu, fitting(gpu, every, w), w) for w in range(72, 120)}
    width = next(w for w, room in rooms.items() if 12 < room < len(name))
    lines = shown(gpu, width).splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("backend"))
    begins = [line.split()[0] for line in lines[head + 1 :] if line and line[0] != " "]
    assert any(begin.endswith("-") and name.startswith(begin) for begin in begins)


def test_what_has_no_room_is_named_and_a_wide_terminal_has_it_all(gpu: Context) -> None:
    assert "no room here for" not in shown(gpu, 200)
    (note,) = (x for x in shown(gpu, 80).splitlines() if x.startswith("no room here for"))
    assert "host MiB" in note


def test_errors_stay_where_there_are_some(cpu: Context) -> None:
    clean = tuple(replace(r, errors=0) for r in cpu.rows)
    some = (replace(cpu.rows[0], errors=3), *clean[1:])
    for rows, there in ((clean, False), (some, True)):
        context = replace(cpu, rows=rows)
        assert ("errors" in fitting(context, columns(context), 60)) is there


def test_a_constraint_has_its_sign_and_value_at_every_point(gpu: Context) -> None:
    title = "p99 latency\n≤ 20 ms"
    said = [columns(gpu)[title](row) for row in gpu.rows]
    assert {text[0] for text in said} >= {"✓", "✗"}
    for text in said:
        assert text in shown(gpu, 80)
    unknown = with_metrics(gpu.rows[0], latency_p99_ms=None)
    assert columns(gpu)[title](unknown) == "? n/a"


def test_a_constraint_that_the_table_has_no_column_for_gets_one(cpu: Context) -> None:
    context = replace(cpu, bounds={"latency_mean_ms": {"max": 5.0}})
    (title,) = set(columns(context)) - set(columns(cpu))
    assert title.replace("\n", " ").endswith("≤ 5 ms")
    assert columns(context)[title](cpu.rows[0])[0] in "✓✗?"


def test_constraints_that_leave_a_status_no_room_stand_in_tables_of_their_own(gpu: Context) -> None:
    names = ("latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms")
    bounds = {n: {"max": 20.0} for n in (*names, "gpu_memory_mib")} | {"throughput": {"min": 100.0}}
    context = replace(gpu, bounds=bounds)
    lines = [line for line in shown(context, 80).splitlines() if "no room here" not in line]
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.startswith("backend") and line.split()[-1] == "status"]
    text = "\n".join(lines)
    for row in context.rows:
        assert _first_remark(row) in text
        for title in columns(context).keys() - columns(gpu).keys():
            assert columns(context)[title](row) in text
    assert len([line for line in lines if line.startswith("backend")]) > 2


def test_without_unicode_a_sign_is_a_word(gpu: Context) -> None:
    text = shown(gpu, 80, "ascii")
    assert "ok 7.7" in text
    assert "no " in text
    assert "✓" not in text and "✗" not in text


def test_the_speed_up_is_over_the_reference(cpu: Context) -> None:
    said = columns(cpu)["speed-up"]
    own = [r for r in cpu.rows if r.backend == "torch-cpu-fp32"]
    assert {said(r) for r in own} == {"1"}
    others = [said(r) for r in cpu.rows if r.backend == "onnxruntime-cpu-fp32"]
    assert any(float(x) > 1 for x in others if x[0].isdigit())
    assert "infer/s over torch-cpu-fp32 at the same batch and load" in shown(cpu, 200)
    alone = replace(cpu, rows=tuple(own))
    assert "speed-up" not in columns(alone)


def test_the_load_is_callers_or_a_rate(cpu: Context) -> None:
    open_loop = [replace(r, concurrency=None, request_rate=12.5) for r in cpu.rows[:1]]
    context = replace(cpu, rows=(*open_loop, *cpu.rows[1:]))
    found = columns(context)
    assert [found["load"](r) for r in context.rows[:3]] == ["12.5/s", "c2", "c4"]
    ramp = replace(cpu.rows[0], concurrency=None, request_rate=None, point="a/b1/ramp")
    assert found["load"](ramp) == "ramp"


def test_columns_are_those_that_were_measured(cpu: Context, gpu: Context) -> None:
    usual = ["batch", "load", "infer/s", "±", "speed-up", "p50 ms", "p90 ms", "p99 ms"]
    assert list(columns(cpu)) == [*usual, "host MiB", "errors"]
    limited = [*usual[:-1], "p99 latency\n≤ 20 ms", "host MiB", "GPU MiB", "errors"]
    assert list(columns(gpu)) == limited
    bare = tuple(with_metrics(r, latency_p90_ms=None, latency_p99_ms=None) for r in cpu.rows)
    assert "p90 ms" not in columns(replace(cpu, rows=bare))
    assert "p99 ms" in columns(replace(cpu, rows=bare))
    cores = tuple(with_metrics(r, cpu_cores=2.0) for r in cpu.rows)
    assert columns(replace(cpu, rows=cores))["cores"](cores[0]) == "2.00"


def test_a_metric_of_the_table_that_is_optional_is_what_a_narrow_terminal_first_does_without(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = replace(METRICS["cpu_cores"], name="client_cpu_percent", terminal="toy cores")
    monkeypatch.setitem(METRICS, toy.name, toy)
    rows = tuple(with_metrics(r, cpu_cores=2.0, client_cpu_percent=2.0) for r in cpu.rows)
    context = replace(cpu, rows=rows)
    every = columns(context)
    assert {"cores", "toy cores"} <= set(fitting(context, every, 200))
    for width in range(60, 120):
        kept = fitting(context, every, width)
        assert "toy cores" not in kept or "host MiB" in kept
    assert "toy cores" not in fitting(context, every, 72)
