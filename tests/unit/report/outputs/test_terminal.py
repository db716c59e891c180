"""The terminal's summary."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console
from support.paths import LANES
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.report.model.context import Context, build_context
from harness.report.outputs.terminal import terminal_summary
from harness.report.sections.points import best_table, points_table
from harness.results.events import SearchEnded
from harness.results.rows import FailureRow
from harness.results.store import read_run


def shown(run: Path, *, brief: bool = False) -> str:
    console = Console(width=160, record=True, force_terminal=False, file=None, quiet=False)
    with console.capture() as capture:
        console.print(terminal_summary(read_run(run), brief=brief))
    return capture.get()


def test_a_line_a_point_best_first_then_failures_and_the_sentence(cpu_run: Path) -> None:
    lines = shown(cpu_run).splitlines()
    assert next(i for i, line in enumerate(lines) if line.startswith("failed:")) == 1 + 24 + 2
    assert lines[25].startswith("speed-up: ")
    assert lines[26].startswith("status +N: ")
    assert lines[1].startswith("onnxruntime-cpu-fp32 ")
    assert "66.2" in lines[1]
    assert "±3.0%" in lines[1]
    assert "n/a" in lines[1]
    text = "\n".join(lines)
    assert "failed: onnxruntime-cpu-fp32/b4/c4 (round 3): no answer before the deadline" in text
    assert "(round 1, 2, 3): the Triton server ended during the measurement" in text
    assert "fix: look into the server's log" in text
    assert "In 68 measurements across 4 configurations, onnxruntime-cpu-fp32 is " in text


def test_a_brief_one_has_what_failed_and_the_first_sentence(cpu_run: Path) -> None:
    whole, brief = shown(cpu_run), shown(cpu_run, brief=True)
    failed = [line for line in whole.splitlines() if line.startswith("failed:")]
    assert failed
    assert all(line in brief for line in failed)
    rest = [x for x in brief.splitlines() if x not in failed and not x.startswith("  fix:")]
    assert all(line in whole for line in rest)
    assert rest[0].startswith("In ")
    assert 0 < len(rest) < 5
    assert "TAKE" in whole
    assert not {"TAKE", "COST", "BEWARE", "THIS MACHINE"} & set(brief.splitlines())


def test_a_brief_one_says_how_many_points_can_not_be_believed() -> None:
    """As exit code 4 does, without which."""
    _, said = shown(LANES, brief=True).split("Left out of the ranking: ")
    assert " ".join(said.split()) == (
        "5 points failed or invalid (drifted at 4, warm-up was not over at 1)."
    )


def test_a_backend_that_failed_at_every_point_is_one_line(tmp_path: Path) -> None:
    run = write_all_failed(tmp_path / "r")
    message = "batch 1: output: 1187 of 3000 values break |a−b| ≤ 0.001·rms(b); also at batch 16"
    journal = run / "journal.jsonl"
    kept = [line for line in journal.read_text().splitlines() if '"failure"' not in line]
    failures = [
        FailureRow(f"fake/b1/{load}", 0, "fake", "parity", message, "see the table")
        for load in ("c1", "c2")
    ]
    lines = [*kept[:-1], *(json.dumps(f.to_event()) for f in failures), kept[-1]]
    journal.write_text("\n".join(lines) + "\n")
    failed = [line for line in shown(run).splitlines() if line.startswith("failed:")]
    whole = " ".join(shown(run).split())
    assert len(failed) == 1
    assert (
        "failed: fake: all 2 points (round 1): outputs disagree with the reference or the "
        f"model's configuration, so it was not timed: {message}" in whole
    )
    assert whole.count("disagree") == 1
    assert whole.count("fix: see the table") == 1


def test_what_a_budget_left_no_time_for_is_said(cpu_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(cpu_run, tmp_path / "r"))
    with (run / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(SearchEnded("budget", ("a/i2", "a/i4")).to_event()) + "\n")
    assert "The budget left no time for 2 configurations: " in shown(run)
    assert "left no time" not in shown(cpu_run)


def test_what_all_backends_failed_for_is_said_once(tmp_path: Path) -> None:
    run = write_all_failed(tmp_path / "r")
    journal = run / "journal.jsonl"
    *kept, last = [x for x in journal.read_text().splitlines() if '"failure"' not in x]
    for names in (("a", "b", "c"), ("a", "b")):
        failures = [
            FailureRow(f"{b}/b1/c{c}", 0, b, "usage", f"no weights {b in names}", "give some")
            for b in ("a", "b", "c") for c in (1, 2)
        ]  # fmt: skip
        lines = [*kept, *(json.dumps(f.to_event()) for f in failures), last]
        journal.write_text("\n".join(lines) + "\n")
        said = [x.split(" (round")[0] for x in shown(run).splitlines() if x.startswith("failed:")]
        whole = ["failed: a and b: all 4 points", "failed: c: all 2 points"]
        assert said == (["failed: all 6 points"] if "c" in names else whole)


def test_points_that_failed_for_different_reasons_keep_their_lines(tmp_path: Path) -> None:
    lines = shown(write_all_failed(tmp_path / "r")).splitlines()
    failed = [line for line in lines if line.startswith("failed:")]
    assert [line.split(":")[1].strip() for line in failed] == [
        "fake/b1/c1 (round 1, 2)", "fake/b1/c2 (round 1, 2)",
    ]  # fmt: skip


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


def test_an_invalid_point_says_which_rule_it_broke(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", failures=False)
    journal = run / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    for event in events:
        if event.get("point") == "torch-cpu-fp32/b1/c1":
            event["flags"] = ["no_steady_state", "few_requests"]
    journal.write_text("".join(f"{json.dumps(e)}\n" for e in events))
    (line,) = (x for x in shown(run).splitlines() if "invalid (" in x and "Left" not in x)
    assert line.startswith("torch-cpu-fp32 ")
    assert line.rstrip().endswith("invalid (drifted)")
    assert shown(run).replace("\n", "").endswith(f"harness explain {run} torch-cpu-fp32/b1/c1")
    (left,) = (
        note for note in best_table(build_context(read_run(run))).notes if "not looked at" in note
    )
    assert left == "Points that failed or are invalid are not looked at here: 1 of torch-cpu-fp32."


def test_what_holds_a_point_back_stands_before_its_figures(gpu: Context) -> None:
    headers = [h.text for h in points_table(gpu).headers]
    at = headers.index("Throughput (infer/s)")
    assert headers[at - 2 : at] == ["Constraints", "Status"]
    row = points_table(gpu).rows[0]
    assert row[at - 1].status
    assert row[at].number
