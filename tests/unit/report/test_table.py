"""The terminal's summary."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.report.table import summary_table, terminal_summary
from harness.run.store import read_run


def shown(run: Path) -> str:
    console = Console(width=160, record=True, force_terminal=False, file=None, quiet=False)
    with console.capture() as capture:
        console.print(terminal_summary(read_run(run)))
    return capture.get()


def test_a_line_a_point_best_first_then_failures_and_the_sentence(cpu_run: Path) -> None:
    table = summary_table(read_run(cpu_run))
    assert table.row_count == 24
    lines = shown(cpu_run).splitlines()
    assert lines[1].startswith("onnxruntime-cpu-fp32 ")
    assert "66.2" in lines[1]
    assert "±3.0%" in lines[1]
    assert "n/a" in lines[1]
    text = "\n".join(lines)
    assert "failed: onnxruntime-cpu-fp32/b4/c4 (round 3): no answer before the deadline" in text
    assert "(round 1, 2, 3): the Triton server ended during the measurement" in text
    assert "fix: look into the server's log" in text
    assert "In 68 measurements across 4 configurations, onnxruntime-cpu-fp32 is " in text


def test_markup_in_names_and_messages_is_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", evil=True)
    text = (run / "journal.jsonl").read_text(encoding="utf-8")
    (run / "journal.jsonl").write_text(text.replace("no answer for 30 s", "[bold]x[/nope]"))
    assert "[bold]x[/nope]" in shown(run)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (write_all_failed, "memory ran out"),
        (write_bare, "this run did not reach its end: 0 measurements so far"),
    ],
)
def test_runs_without_a_number(tmp_path: Path, write: object, expected: str) -> None:
    assert callable(write)
    assert expected in shown(write(tmp_path / "r"))
