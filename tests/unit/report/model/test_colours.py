"""The report's colours stay apart for every eye, on white and on a dark screen."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from support import colours as eyes

import harness.report
from harness.report.model.colours import COLORS, DARK, PAPER, REFERENCE_COLOR, definitions, themed

PALETTE = (REFERENCE_COLOR, *COLORS)


@pytest.mark.parametrize(
    "first, second, known",
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_difference_is_that_of_the_papers_table(
    first: tuple[float, ...], second: tuple[float, ...], known: float
) -> None:
    assert eyes.difference(eyes.np.array(first), eyes.np.array(second)) == pytest.approx(
        known, abs=1e-4
    )


@pytest.mark.parametrize("vision", eyes.VISIONS)
@pytest.mark.parametrize("dark", [False, True])
def test_any_two_configurations_are_told_apart(vision: str, dark: bool) -> None:
    seen = {c: eyes.lab(DARK[c] if dark else c, vision) for c in PALETTE}
    near = {
        pair: d for pair in combinations(seen, 2)
        if (d := eyes.difference(seen[pair[0]], seen[pair[1]])) < 10
    }  # fmt: skip
    assert near == {}
    assert len(seen) == len(PALETTE) >= 13, "more than a chart's lines and its reference"


def test_each_stands_out_from_the_page() -> None:
    assert [c for c in PALETTE if eyes.contrast(c, PAPER) < 3] == []
    assert [c for c in PALETTE if eyes.contrast(DARK[c], DARK[PAPER]) < 3] == []


def test_every_colour_of_page_and_charts_has_a_dark_one() -> None:
    room = Path(harness.report.__file__).parent
    files = [*room.glob("templates/*.css"), *room.glob("charts/*.py"), *room.glob("sections/*.py"),
             room / "model" / "phases.py"]  # fmt: skip
    named = {c.upper() for f in files for c in re.findall(r"#[0-9A-Fa-f]{6}\b", f.read_text())}
    assert len(named) > 20 and named <= set(DARK)


def test_text_is_readable_on_both_pages() -> None:
    """WCAG 2's 4.5 for the ink of texts, links and tones."""
    inks = ("#1D2733", "#3C4754", "#5C6470", "#6B7480", "#005A96", "#003F6B", "#00674A", "#A8430A",
            "#B3001B")  # fmt: skip
    assert [c for c in inks if eyes.contrast(c, PAPER) < 4.5] == []
    assert [c for c in inks if eyes.contrast(DARK[c], DARK[PAPER]) < 4.5] == []


def test_a_style_sheet_names_variables_that_are_defined() -> None:
    assert themed("a { color: #005A96; }") == "a { color: var(--c-005a96); }"
    assert "--c-005a96: #005A96;" in definitions() and "--c-005a96: #6CB6FF;" in definitions()
