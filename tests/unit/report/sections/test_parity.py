"""Parity: what was compared, how far apart outputs are, and what could not be compared."""

from __future__ import annotations

from dataclasses import replace

from harness.report.model.context import Context
from harness.report.model.section import TableBlock, Text
from harness.report.sections.parity import parity_table, section
from harness.results.rows import ParityRow


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
