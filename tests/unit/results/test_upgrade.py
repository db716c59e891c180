"""Run directories of earlier versions: read in today's words, unchanged on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.paths import DATA

from harness.analysis.colocated import names
from harness.analysis.metrics import metric_name
from harness.analysis.summary import summarize
from harness.errors import RunDirectoryError
from harness.report.model.context import build_context
from harness.report.sections.colocated import colocated_table
from harness.results.manifest import differences
from harness.results.store import RunStore, read_run
from harness.results.upgrade import SCHEMA_VERSION, upgrade_event, upgrade_manifest, version_of
from harness.scenario.reading.loader import load_text

OLD = DATA / "runs" / "version-1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy: reading must not depend on where it is, and must not write."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_what_was_beside_is_colocated(old: Path) -> None:
    data = read_run(old)
    assert [len(b["colocated"]) for b in data.manifest["scenario"]["backends"]] == [1, 0]
    assert data.manifest["schema_version"] == SCHEMA_VERSION
    first, second, alone = data.measurements
    assert first.details["colocated"]["det"]["throughput"] == 10.0
    assert second.flags == ("few_requests", "colocated_invalid")
    assert second.details["findings"] == {
        "colocated_invalid": "det: errors (3 of 30 requests failed)"
    }
    assert "colocated" not in alone.details
    loaded = data.loads[0].details
    assert loaded["colocated"]["det"]["config"].startswith('name: "det"')
    assert loaded["settings"]["colocated"]["det"] == {"instances": 1}


def test_analysis_and_report_read_it(old: Path) -> None:
    data = read_run(old)
    (row, *_) = summarize(data.measurements)
    assert names(row) == ["det"]
    throughput = row.value(metric_name("det", "throughput"))
    assert throughput is not None and throughput.value == pytest.approx(10.0)
    context = build_context(data)
    table = colocated_table(context, context.of("pair/default"))
    assert table is not None
    assert [cell.text for cell in table.rows[0]][2] == "det"


def test_the_scenario_as_written_can_be_loaded_so_that_the_run_can_be_resumed(old: Path) -> None:
    data = read_run(old)
    scenario = load_text(data.manifest["scenario_text"], "s.yaml", old, ())
    now = scenario.model_dump(mode="json")
    assert differences(data.manifest["scenario"], now) == []
    added = set(now["constraints"]) - set(data.manifest["scenario"]["constraints"])
    assert added == {"cpu_cores"}  # a key that is not written makes no other scenario
    assert data.manifest["overrides"] == ["backends.0.colocated.0.load.request_rate=20"]


def test_nothing_is_changed_on_disk(old: Path) -> None:
    RunStore.resume(old)[0].close()
    for name in ("manifest.json", "journal.jsonl"):
        assert (old / name).read_bytes() == (OLD / name).read_bytes()


def test_a_model_may_have_the_name_of_the_old_key() -> None:
    event = {"event": "loaded", "details": {"settings": {"beside": {"beside": {"beside": {}}}},
                                            "beside": {"beside": {"beside": 1}}}}  # fmt: skip
    assert upgrade_event(event)["details"] == {
        "settings": {"colocated": {"beside": {"colocated": {}}}},
        "colocated": {"beside": {"beside": 1}},
    }


def test_words_of_a_text_are_left_alone() -> None:
    text = "description: a server beside: a test\nbackends:\n  - {kind: triton, beside: []}\n"
    new = upgrade_manifest({"scenario_text": text})["scenario_text"]
    assert new == text.replace("triton, beside", "triton, colocated")


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, "2", 2.5, None])
def test_a_newer_version_is_refused_with_both_versions(old: Path, version: object) -> None:
    manifest = json.loads((old / "manifest.json").read_text())
    (old / "manifest.json").write_text(json.dumps({**manifest, "schema_version": version}))
    with pytest.raises(RunDirectoryError) as caught:
        read_run(old)
    assert f"has version {version} " in str(caught.value)
    assert f"up to {SCHEMA_VERSION}" in str(caught.value)
    assert str(manifest["harness_version"]) in str(caught.value.fix)


def test_versions_that_are_known() -> None:
    assert version_of(OLD, {}) == version_of(OLD, {"schema_version": 1}) == 1
    assert version_of(OLD, {"schema_version": SCHEMA_VERSION}) == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("seen", "flag"),
    [("86 % of readings: power cap", "power_cap"),
     ("86 % of readings: power cap, hardware thermal limit", "throttled")],
)  # fmt: skip
def test_a_card_at_its_power_cap_was_throttled_once(seen: str, flag: str) -> None:
    event = {"event": "measurement", "flags": ["errors", "throttled"],
             "details": {"findings": {"throttled": seen}}}  # fmt: skip
    new = upgrade_event(event)
    assert new["flags"] == ["errors", flag]
    assert new["details"] == {"findings": {flag: seen}}


def test_cores_are_those_of_the_percent_that_earlier_versions_wrote() -> None:
    line = {"window_begin_ns": 0, "cpu_percent": 397.5}
    assert upgrade_event(line)["cpu_cores"] == 3.975
    assert upgrade_event({**line, "cpu_cores": None})["cpu_cores"] is None
    assert "cpu_cores" not in upgrade_event({"cpu_percent": 397.5})  # of loading, not of a point
