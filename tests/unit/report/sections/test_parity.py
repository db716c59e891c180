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
    found = parity_table(cpu.data.parity)
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
    assert " gave the same" not in note(row)  # nor that none did
    assert note(row).endswith(" For b there is nothing to compare with: parity is unavailable.")


def test_what_agrees_is_one_sentence_and_the_rest_stands_in_full(cpu: Context) -> None:
    def rows_of(*rows: ParityRow) -> tuple[str, list[tuple[str, str, int]]]:
        found = section(replace(cpu, data=replace(cpu.data, events=rows))).blocks
        said = " ".join(b.text for b in found if isinstance(b, Text))
        shown = [(t.title, t.only, len(t.table.rows)) for t in found if isinstance(t, TableBlock)]
        return said, shown

    good = [ParityRow("b", n, "agrees", "eager", 4, 0.0, 0.0, 0.0, "", None) for n in (1, 8)]
    bad = ParityRow("c", 1, "disagrees", "eager", 4, 1.0, 1.0, 1.0, "far", None)
    every = "Every comparison before the load"
    said, tables = rows_of(*good)
    assert "Of 2 comparisons of 1 backend all gave the same outputs" in said
    assert tables == [(every, "appendix", 2)]
    said, tables = rows_of(*good, bad)
    assert "Of 3 comparisons of 2 backends 2 gave the same outputs" in said
    assert tables == [("Not shown to give the same outputs", "", 1), (every, "appendix", 3)]


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
    said = [b.text for b in section(build_context(replace(data, events=events))).blocks
            if isinstance(b, Text)]  # fmt: skip
    assert " Under load, 1 measurement gave others." in said[1]
    table = under_load_table(build_context(replace(data, events=events)))
    assert table is not None
    assert [[c.text for c in row] for row in table.rows] == [
        [last.point, str(last.round + 1), "output: 907 of 1000 values"]
    ]
    assert not under_load_table(build_context(data))
