"""The table in the terminal."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from harness.compare.outputs.terminal import terminal
from harness.compare.result import Comparison


def shown(found: Comparison) -> str:
    console = Console(width=160, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(terminal(found))
    return capture.get()


def test_every_point_and_metric_has_a_line(slower: Comparison) -> None:
    text = shown(slower)
    assert text.startswith("REGRESSION: slow against a\n")
    lines = [line for line in text.splitlines() if line.startswith("b1/c2")]
    assert len(lines) == 6  # three are judged, three beside
    assert any("p50 latency (ms)" in line and "✗ regression" in line for line in lines)
    assert sum(line.startswith("all points") for line in text.splitlines()) == 3
    assert "differs: onnxruntime: absent → 1.23.2" in text
    assert (
        "outputs: batch 1: off from the reference by up to 1e-06 (base) and 1e-06 (candidate)"
        in text
    )


def test_what_cant_run_has_one_too(broken: Comparison) -> None:
    text = shown(broken)
    assert text.count("the candidate can't run it: it refuses the engine") == 1
    assert "✗ regression" in text


def test_many_packages_of_one_side_alone_are_counted(slower: Comparison) -> None:
    changed = {f"p{n}": ("", "1") for n in range(130)} | {"onnxruntime": ("1.22.1", "1.23.2")}
    text = shown(replace(slower, changed=changed))
    assert "differs: onnxruntime: 1.22.1 → 1.23.2" in text
    assert "differs: 119 more, in --json, --markdown and --html" in text
    assert text.count("differs:") == 13


def test_layers_have_a_table(layered: Comparison) -> None:
    text = shown(layered)
    assert "significant: con|v." in text
    assert any("slower, CPU → CUDA" in line for line in text.splitlines())
