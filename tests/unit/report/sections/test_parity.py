"""Parity: what was compared, how far apart outputs are, and what could not be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.report.model.context import Context, build_context
from harness.report.model.section import TableBlock, Text
from harness.report.sections.parity import parity_table, section, under_load_table
from harness.results.rows import ParityRow
from harness.results.store import read_run


def test_errors_and_the_reason_of_a_disagreement_are_told(cpu: Context) -> None:
    found = parity_table(cpu)
    assert found is not None
    heads = [h.text for h in found.headers]
    *_, bad = found.rows
    row = dict(zip(heads, bad, strict=True))
    assert (row["Backend"].text, row["Outputs"].text) == ("onnxruntime-fp16", "disagrees")
    assert (row["Outputs"].tone, row["Outputs"].range) == ("bad", "outputs differ by up to 0.41")
    assert [row[h].text for h in ("Max abs. error", "Mean abs. error", "Max rel. error")] == [
        "0.41", "0.07", "3.2",
    ]  # fmt: skip
    assert row["Top-1 agreement"].text == "62%"
    assert found.rows[0][2].tone == "good"


def test_without_a_check_or_something_to_compare_with_the_note_says_so(cpu: Context) -> None:
    def note(*rows: ParityRow) -> str:
        text, *tables = section(replace(cpu, data=replace(cpu.data, events=rows))).blocks
        assert isinstance(text, Text)
        assert len(tables) == bool(rows) and all(isinstance(t, TableBlock) for t in tables)
        return text.text

    assert note() == "No parity check is in this run."
    row = ParityRow("b", 1, "unavailable", "eager", 0, None, None, None, "", None)
    assert note(row).endswith(" For b there is nothing to compare with, so parity is unavailable.")


def test_wrong_outputs_are_named_first_also_those_under_load(cpu_run: Path) -> None:
    data = read_run(cpu_run)
    last = data.measurements[-1]
    details = {"findings": {"wrong_outputs": "output: 907 of 1000 values"}}
    wrong = replace(last, flags=("wrong_outputs",), details=details)
    events = tuple(wrong if e is last else e for e in data.events)
    banner, *_ = section(build_context(replace(data, events=events))).blocks
    assert isinstance(banner, Text)
    assert banner.style == "banner"
    assert f"{last.backend} (batch {last.batch_size})" in banner.text
    table = under_load_table(build_context(replace(data, events=events)))
    assert table is not None
    assert [[c.text for c in row] for row in table.rows] == [
        [last.point, str(last.round + 1), "output: 907 of 1000 values"]
    ]
    assert under_load_table(build_context(data)) is None
