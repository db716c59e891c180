from __future__ import annotations

from dataclasses import replace

from rich.console import Console
from support.kineto import Machine
from support.profiled import gpu_profile

from harness.profile.terminal import page


def shown(width: int = 160, **changes: object) -> str:
    profile = replace(gpu_profile(Machine(launch_us=60.0)), **changes)  # type: ignore[arg-type]
    console = Console(width=width)
    with console.capture() as caught:
        console.print(page(profile))
    return caught.get()


def test_the_answer_the_findings_and_the_operators() -> None:
    said = shown(skipped={"served": "it is elsewhere"})
    assert "Launch-bound" in said
    assert "served is left out: it is elsewhere" in said
    assert "--try 1" in said
    assert "aten::conv2d" in said
    assert "TFLOP/s (3" in said
    assert "A profile is no measurement" in said


def test_scenario_lines_are_text_and_no_markup() -> None:
    assert "{batch_sizes: [8]}" in shown(width=200)


def test_without_findings_there_is_no_table_of_them() -> None:
    assert "saves at most" not in shown(findings=())
