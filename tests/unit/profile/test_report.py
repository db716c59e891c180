from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.compared import write_blocks
from support.kineto import Machine
from support.profiled import gpu_profile

from harness.errors import UsageError
from harness.profile import store
from harness.profile.report import run_section, view_of, write_report
from harness.profile.result import Row
from harness.report.build import build_report
from harness.report.model.section import TableBlock
from harness.results.store import RunData, read_run


def test_the_page_of_a_real_profile(profiled: Path, tmp_path: Path) -> None:
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    html = write_report(here).read_text("utf-8")
    for said in ("A profile is no measurement", "aten::linear", "What would save time",
                 "A request&#39;s time in parts", "tensorboard --logdir", "Memory peaked",
                 "The first call against the steady state"):  # fmt: skip
        assert said in html, said


def test_every_section_has_charts_that_are_drawn_and_tables_with_rows(profiled: Path) -> None:
    profile = gpu_profile(Machine(launch_us=60.0))
    layer = Row("tensorrt", "fused <b>", "layer", "", 1, 500.0, 0.5)
    batch = replace(profile.backends[0].batches[0], layers=[layer], notes=["a note"])
    view = view_of(read_run(profiled), replace(
        profile, backends=[replace(profile.backends[0], batches=[batch])],
        skipped={"t": "served elsewhere"},
    ))  # fmt: skip
    assert [s.id for s in view.sections] == [
        "summary", "findings", "time", "operators", "starting", "method",
    ]  # fmt: skip
    charts = view.all_charts()
    assert [c.id for c in charts] == ["parts", "operators-0", "calls"]
    assert all(s.y for c in charts for s in c.series)
    shares = [sum(s.y[0] for s in charts[0].series)]
    assert shares == [pytest.approx(100)]
    tables = {
        b.title: b.table
        for s in view.sections
        for b in (*s.blocks, *(x for p in s.parts for x in p.blocks))
        if isinstance(b, TableBlock)
    }
    assert {"Findings", "Parts of a request", "What the GPU did", "Longest",
            "Kernels and copies"} <= set(tables)  # fmt: skip
    assert "fused <b>" in [cell.text for row in tables["Longest"].rows for cell in row]


def run_of(folder: Path, model: object) -> RunData:
    path = write_blocks(folder / "run", {"a": 0.0, "b": 0.1})
    manifest = path / "manifest.json"
    known = json.loads(manifest.read_text())
    known["scenario"]["model"] = model
    manifest.write_text(json.dumps(known))
    return read_run(path)


def test_a_runs_report_has_a_section_of_the_profile(profiled: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, read_run(profiled).scenario["model"])
    section = run_section(run, profiled)
    assert section.id == "profile"
    parts, operators = section.charts()
    assert (parts.id, operators.id) == ("parts", "operators-0")
    assert operators.title.startswith("Operators by their share: ")
    assert any("linear" in name for name in operators.ticks)
    made = build_report(run.path, formats=("html",), more=[section])
    assert made.html is not None
    html = made.html.read_text("utf-8")
    assert "made apart from this run" in html
    assert "A request&#39;s time in parts" in html


def test_a_profile_of_another_model_is_refused(profiled: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a profile of another model"):
        run_section(run_of(tmp_path, {"name": "other"}), profiled)


def test_a_profile_without_any_finding_or_backend_has_a_page(profiled: Path) -> None:
    empty = replace(store.read_profile(profiled), backends=[], findings=[])
    view = view_of(read_run(profiled), empty)
    assert len(view.sections) == 6
