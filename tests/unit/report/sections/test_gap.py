"""The waterfall in the report, on the made-up run and on one whose server traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from unit.gap.test_parts import PATH

from harness.report.charts import matplotlib, plotly
from harness.report.model.context import Context, build_context
from harness.report.model.section import Charts, TableBlock
from harness.report.outputs.csv import write_csvs
from harness.report.sections.gap import BACKGROUND, by_pair, chart, section
from harness.results.rows import MeasurementRow


@pytest.fixture(scope="module")
def traced(cpu: Context) -> Context:
    """The run, as if its server had traced."""

    def with_path(event: object) -> object:
        if not isinstance(event, MeasurementRow) or not event.server_us:
            return event
        return replace(event, details={**event.details, "path": PATH})

    data = replace(cpu.data, events=tuple(map(with_path, cpu.data.events)))  # type: ignore[arg-type]
    return build_context(data)


def test_each_served_backend_has_a_waterfall_against_its_like(traced: Context) -> None:
    found = section(traced)
    assert found is not None
    pairs = [(each[0].native.backend, each[0].served.backend) for each in by_pair(traced)]
    assert pairs == [
        ("onnxruntime-cpu-fp32", "triton-http-onnxruntime"),
        ("onnxruntime-cpu-fp32", "triton-grpc-onnxruntime"),
    ]
    tables = [b for b in found.blocks if isinstance(b, TableBlock) and b.title == "Parts by load"]
    heads = [h.text for h in tables[0].table.headers]
    assert "Wire" in heads and "Unexplained" in heads and len(tables) == 2
    assert len(tables[0].table.rows) == len(by_pair(traced)[0])


def test_the_bars_hang_together_and_end_where_the_client_sees(traced: Context) -> None:
    gap = by_pair(traced)[0][0]
    drawn = chart(gap, 0)
    assert len(drawn.ticks) == len(gap.parts) + 2
    *kinds, below = drawn.series
    assert below.color == BACKGROUND and below.name == kinds[0].name, "one entry in the legend"
    tops = {x: y for s in kinds for x, y in zip(s.x, s.y, strict=True)}
    assert len(tops) == len(drawn.ticks) == len(below.x)
    assert tops[0] == pytest.approx(gap.in_process.value)
    assert tops[len(tops) - 1] == pytest.approx(gap.end_to_end.value)
    heights = [tops[x] - y for x, y in zip(below.x, below.y, strict=True)]
    assert heights[1:-1] == pytest.approx([abs(p.ms.value) for p in gap.parts])
    assert "<svg" in matplotlib.svg(drawn) and plotly.figure(drawn)["data"]


def test_a_run_of_one_side_has_no_such_section(gpu: Context, cpu: Context) -> None:
    assert section(replace(cpu, rows=())) is None
    native = [r for r in gpu.rows if "triton" not in r.backend]
    assert section(replace(gpu, rows=tuple(native))) is None


def test_without_a_trace_the_rest_is_one_bar_that_says_so(cpu: Context) -> None:
    gap = by_pair(cpu)[0][0]
    assert gap.parts[-1].name == "outside"
    drawn = chart(gap, 0)
    assert drawn.ticks[-2] == "Unexplained"  # a longer name has no room below its bar
    assert any("not told apart" in label for s in drawn.series for label in s.labels)


def test_the_csv_has_every_part_and_both_ends(traced: Context, tmp_path: Path) -> None:
    files = {p.name: p for p in write_csvs(traced, tmp_path)}
    rows = files["gap.csv"].read_text().splitlines()
    gaps = [gap for each in by_pair(traced) for gap in each]
    assert len(rows) == 1 + sum(len(g.parts) + 2 for g in gaps)
    assert rows[0].startswith("native,served,batch_size,concurrency")
    assert {r.split(",")[7] for r in rows[1:]} >= {"in_process", "wire", "end_to_end"}


def test_every_chart_has_its_own_id(traced: Context) -> None:
    found = section(traced)
    assert found is not None
    charts = [c.id for b in found.blocks if isinstance(b, Charts) for c in b.charts]
    assert len(set(charts)) == len(charts) == 2


def test_loads_have_their_usual_names_and_nothing_traced_is_no_column_of_zeros(
    cpu: Context, traced: Context
) -> None:
    for context, there in ((cpu, False), (traced, True)):
        found = section(context)
        assert found is not None
        tables = [b.table for b in found.blocks if isinstance(b, TableBlock)]
        titles = {h.text for t in tables for h in t.headers}
        assert ("Traced requests" in titles) == there
        assert tables[0].rows[0][0].text == "Batch 1, concurrency 1"
