"""One Triton over several GPUs: what each of them brings."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scaled import config, run

from harness.report.sections import scaling


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_the_gpus_are_those_that_the_groups_name(gpus: int) -> None:
    assert scaling.gpus_of(config(gpus)) == gpus


@pytest.mark.parametrize(("text", "gpus"), [
    ("instance_group { count: 2 kind: KIND_GPU }", 0), ("instance_group [{gpus: [0, 1, 3]}]", 3),
    ("instance_group { gpus: 0 } instance_group { gpus: 0 gpus: 1 }", 2), ("", 0),
])  # fmt: skip
def test_other_spellings(text: str, gpus: int) -> None:
    assert scaling.gpus_of(text) == gpus


def test_each_configuration_stands_at_its_best_load(tmp_path: Path) -> None:
    context = run(tmp_path / "run", {2: {2: 150.0, 8: 380.0}, 1: {2: 150.0, 8: 200.0}})
    one, two = scaling.scaled(context)
    assert (one.gpus, one.row.concurrency, two.gpus, two.row.concurrency) == (1, 8, 2, 8)
    assert one.efficiency is not None and two.efficiency is not None
    assert one.efficiency.value == pytest.approx(1.0)
    assert two.speed_up is not None and two.speed_up.value == pytest.approx(1.9)
    assert two.efficiency.value == pytest.approx(0.95)
    assert two.efficiency.low is not None and two.efficiency.low <= two.efficiency.value
    section = scaling.section(context)
    assert section is not None
    (table,) = [block.table for block in section.blocks if hasattr(block, "table")]
    titles = [header.text for header in table.headers]
    shown = dict(zip(titles, (cell.text for cell in table.rows[1]), strict=True))
    assert (shown["GPUs"], shown["Configuration"], shown["Load"]) == ("2", "g2", "8")
    assert shown["GPU busy, each (%)"] == "90 · 89 · 88 · 87"
    assert shown["GPU memory, each (MiB)"] == "500 · 501 · 502 · 503"
    assert (shown["Server cores"], shown["Client cores"]) == ("1.50", "0.50")


def test_one_number_of_gpus_is_nothing_to_compare(tmp_path: Path) -> None:
    assert scaling.section(run(tmp_path / "run", {2: {2: 100.0}})) is None


def test_what_was_not_read_is_not_made_up(tmp_path: Path) -> None:
    context = run(tmp_path / "run", {1: {2: 100.0}, 4: {2: 300.0}})
    (row,) = [s.row for s in scaling.scaled(context) if s.gpus == 4]
    assert scaling._each(row, "power_w").text == "n/a"
