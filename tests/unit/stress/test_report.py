"""The report of a stress run: what it says first, and that everything shares one time axis."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.stress import records, run_of, stress

from harness.results.series import Quantity, SeriesKey, TelemetrySeries
from harness.stress.answers import answer
from harness.stress.memory import ProcessMemory
from harness.stress.report import bands, view_of, write_report
from harness.stress.results import Results
from harness.stress.thresholds import judge
from harness.swarm.shapes import schedule

SPIKE = {"spike": {"base": 20, "peak": 200, "at": "10s", "for": "5s", "duration": "40s"}}


def made(directory: Path) -> Results:
    section = stress(shape=SPIKE, arrivals="constant", thresholds={"recovery_s": {"max": 1}})
    due = schedule(section, 0) / 1e9
    merged = records(due, 5.0, ~((due > 25) & (due < 27)), kind="<b>gone</b>")
    faults = [{"kind": "kill", "begin": 25.0, "end": 27.0, "how": "SIGKILL", "problem": ""}]
    run = run_of(section, merged, 40.0, faults=faults, served_name="m")
    run.manifest["scenario"].update(backends=[{"kind": "triton", "protocol": "grpc"}])
    t_ns = (5e9 + np.arange(-5, 45, 0.05) * 1e9).astype(np.int64)
    cpu = TelemetrySeries(t_ns, np.arange(len(t_ns)) * 0.01)
    page = 'nv_inference_pending_request_count{model="m",version="1"} 3\n'
    page = f"# TYPE nv_inference_pending_request_count gauge\n{page}"
    run = replace(
        run, directory=directory, telemetry={SeriesKey(Quantity.TREE_CPU_S): cpu},
        memory=[ProcessMemory("tritonserver 7", t_ns[::20], np.full(50, 2**28))],
        metrics={"readings": [{"end_ns": int(t_ns[200]), "text": page}]},
    )  # fmt: skip
    found = answer(run)
    return Results(run, found, {}, judge(section.thresholds, found, {}))


def test_the_answers_come_first_then_one_axis_for_everything(tmp_path: Path) -> None:
    found = made(tmp_path)
    view = view_of(found)
    assert [s.id for s in view.sections] == ["summary", "time", "phases", "memory", "method"]
    charts = {c.id: c for c in view.all_charts()}
    assert list(charts) == ["rates", "latency", "open", "errors", "load", "memory"]
    assert {c.x_title for c in charts.values()} == {"seconds after the load began"}
    names = [(b.label, b.begin, b.end, b.line) for b in bands(found)]
    phases = [("before", 0, 10, 0), ("spike", 10, 15, 0), ("after", 15, 40, 0)]
    assert names == [*phases, ("kill", 25, 27, 1)]
    assert all(c.bands == bands(found) for c in charts.values())
    assert all(0 <= x <= 40 for c in charts.values() for s in c.series for x in s.x)
    due = charts["rates"].series[0]
    assert max(due.y) == 200
    assert sum(due.y) == len(found.run.samples)
    assert charts["open"].series[1].y == (3.0,)
    before, after = (s for s in charts["latency"].series if s.name == "p50")
    assert (before.x[-1], after.x[0]) == (24.5, 27.5), "no line leads over what failed"


def test_the_page_holds_them_asks_nobody_and_escapes_what_servers_say(tmp_path: Path) -> None:
    path = write_report(made(tmp_path))
    html = path.read_text(encoding="utf-8")
    assert path == tmp_path / "report.html"
    assert "After the server was killed (25.0 s) it took 2.0 s" in html
    assert "recovery_s after kill" in html
    assert "default-src 'none'" in html
    body = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "<b>gone</b>" not in body
    assert "&lt;b&gt;gone&lt;/b&gt;" in body


def test_its_method_is_sentences(tmp_path: Path) -> None:
    found = made(tmp_path)
    found.run.outcome.notes.append("all went through a proxy: tc: no such kind.")
    page = write_report(found).read_text("utf-8")
    assert "Fault kill: SIGKILL." in page
    assert "All went through a proxy: tc: no such kind.<" in page


def test_a_run_without_a_request_has_a_report(tmp_path: Path) -> None:
    run = run_of(stress(), records([], 5.0), 0.0)
    run.manifest["scenario"].update(backends=[])
    run = replace(run, directory=tmp_path)
    run.outcome.status, run.outcome.why = "failed", "the server died"
    found = answer(run)
    html = write_report(Results(run, found, {}, [])).read_text(encoding="utf-8")
    assert "failed: the server died" in html
