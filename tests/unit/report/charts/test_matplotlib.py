"""Chart data as SVG: well-formed, the same each time, with its texts as text."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

from support.synthetic_run import EVIL

from harness.report.charts.lines import summary_charts
from harness.report.charts.matplotlib import svg
from harness.report.model.blocks import Chart, ChartSeries, table
from harness.report.model.context import Context


def test_svg_is_well_formed_deterministic_and_holds_its_texts(cpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    drawn = svg(chart)
    assert drawn == svg(chart)
    text = "".join(ElementTree.fromstring(drawn).itertext())
    assert "p95 latency (ms)" in text
    assert "Throughput (infer/s)" in text


def test_names_are_text() -> None:
    evil = ChartSeries(EVIL, "#000000", (1.0, 2.0), (1.0, 2.0), labels=(EVIL, EVIL))
    chart = Chart("c", EVIL, EVIL, EVIL, (evil,), table([], []), ticks=(EVIL, EVIL))
    root = ElementTree.fromstring(svg(chart))
    assert EVIL in "".join(root.itertext())
    assert not [e for e in root.iter() if e.tag.endswith(("script", "img"))]


def test_a_cache_that_can_not_be_written_is_no_matter_for_stderr() -> None:
    code = (
        "from harness.report.charts.matplotlib import svg\n"
        "import matplotlib, matplotlib.font_manager\n"
    )
    env = {**os.environ, "HOME": "/proc/nobody", "MPLCONFIGDIR": "/proc/nobody/it"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


def test_many_long_ticks_stand_aslant() -> None:
    series = ChartSeries("a", "#000000", (0.0, 1.0), (1.0, 2.0), "bar")

    def aslant(*ticks: str) -> int:
        chart = Chart("c", "t", "x", "y", (series,), table([], []), ticks=ticks)
        return svg(chart).count("rotate(-45")

    assert aslant("1", "2") == 0
    assert aslant("a" * 40, "b" * 40) == 2


def test_a_chart_that_lies_grows_with_its_names() -> None:
    def height(count: int) -> float:
        bars = ChartSeries("s", "#0072B2", (3.0,) * count, tuple(map(float, range(count))), "bar",
                           x_range=((2.0, 4.0),) * count)  # fmt: skip
        names = tuple(f"layer {n}" for n in range(count))
        drawn = svg(Chart("c", "t", "µs", "", (bars,), table((), ()), ticks=names, zero=False,
                          sideways=True, size="full"))  # fmt: skip
        root = ElementTree.fromstring(drawn)
        texts = ["".join(t.itertext()) for t in root.iter() if t.tag.endswith("text")]
        assert [t for t in texts if t.startswith("layer")] == list(names)
        return float(root.attrib["height"].removesuffix("pt"))

    assert height(12) > height(4)
