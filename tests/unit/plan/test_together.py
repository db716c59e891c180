"""A sharing run beside a plan: replicas that hold the target together, and who slows whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import planned
from support.shared import full, scenario, write_shared

from harness.errors import UsageError
from harness.plan.front import Written, service_of
from harness.plan.outputs import json_text, reasons
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.report import view
from harness.plan.together import Together, read_together
from harness.report.model.section import TableBlock
from harness.results.store import RunData

P99 = {1: 9.0, 2: 15.0, 3: 30.0}
"""Of so many replicas together, ms."""


def run(model: str = "m", backend: str = "f") -> RunData:
    """As `planned.run`, of the model and backend of the sharing run."""
    found = planned.run(backend=backend)
    scenario = {**found.manifest["scenario"], "model": {"name": model}}
    return replace(found, manifest={**found.manifest, "scenario": scenario})


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of three replicas hold 20 ms, in both modes."""
    path = tmp_path_factory.mktemp("shared") / "run"
    modes = ({"kind": "time_slicing"}, {"kind": "mps", "threads": 50})
    write_shared(path, full(gpu=True, modes=modes), p99_ms=P99)
    return path


def plan(shared: Path | None, data: RunData | None = None, **demand: float) -> Plan:
    return make_plan(data or run(), planned.demand(**demand), Asked(sharing=shared))


def rows(found: Plan) -> Mapping[str, Any]:
    return {row.system.name: row for row in found.systems}


def test_no_more_replicas_are_put_on_a_card_than_held_the_target_together(shared: Path) -> None:
    alone, found = plan(None), plan(shared)
    assert rows(alone)["hami"].fit.per_card == 4
    for name in ("hami", "mps"):
        fit = rows(found)[name].fit
        assert (fit.per_card, fit.binding, fit.by_sharing) == (2, "the target", 2)
        assert fit.cards == -(-found.sized.replicas // 2)
    assert (alone.sized.cards, found.sized.cards) == (2, 4), "seven replicas"
    assert not any("together" in text for text in found.estimates)
    assert "Together on one card: up to 2 replicas held the target." in list(reasons(found))
    assert not any("on one card" in text for text in reasons(alone))
    harder = {cell.rate: cell.cards for cell in found.what_if if cell.slo_p99_ms == 20.0}
    assert harder[4000.0] == 13, "26 replicas"


def test_equal_parts_of_a_card_are_no_more_than_held_the_target_together(shared: Path) -> None:
    """The plugin's file says how many share a card, whatever the plan says beside it."""
    alone, found = rows(plan(None)), rows(plan(shared))
    for name in ("device-plugin", "device-plugin-time-slicing", "gke"):
        assert int(alone[name].rounded.written) > 2
        assert found[name].rounded.written == "2"
        fit = found[name].fit
        assert (fit.per_card, fit.by_sharing, fit.binding) == (2, 2, "the target")


@pytest.mark.parametrize(
    ("data", "demand", "said"),
    [
        (run(model="other"), {}, "the sharing run is of m by f, and the plan of other by f"),
        (run(backend="g"), {}, "the sharing run is of m by f, and the plan of m by g"),
        (run(), {"slo_ms": 15.0}, "has no target as strict as p99 ≤ 15 ms"),
        (planned.run(backend="f", throughput=1e6), {"rate": 1e6}, "the plan of None by f"),
    ],
)
def test_what_it_does_not_say_of_the_plans_replicas_is_said(
    shared: Path, data: RunData, demand: dict[str, float], said: str
) -> None:
    found = plan(shared, data, **demand)
    assert any(said in text for text in found.estimates)
    assert all(row.fit.by_sharing is None for row in found.systems if row.fit)


def test_replicas_that_carried_less_than_is_planned_show_nothing(shared: Path) -> None:
    """Each did some hundreds a second there, and is to carry 80,000."""
    base = run()
    fast = tuple(replace(e, throughput=1e5) if hasattr(e, "throughput") else e for e in base.events)
    found = plan(shared, replace(base, events=fast))
    assert any("shows none that does with 80,000 inferences" in text for text in found.estimates)
    assert all(row.fit.by_sharing is None for row in found.systems if row.fit)


def test_the_page_has_the_heat_map_and_the_json_has_its_numbers(shared: Path) -> None:
    found = plan(shared)
    sections = {s.id: s for s in view(found, run(), service_of(found, Written())).sections}
    tables = {b.title: b.table for b in sections["together"].blocks if isinstance(b, TableBlock)}
    heat = tables["Interference under time-slicing"]
    assert [header.text for header in heat.headers][1:] == ["a", "b"]
    assert heat.rows[0][2].heat == pytest.approx(0.5, abs=0.05)  # 2 times, of 1 to 3
    assert "How many replicas hold the target on one card" in tables
    said = json.loads(json_text(found))["sharing"]
    assert said["interference"][0].keys() == {"mode", "of", "beside", "slow_down"}
    assert said["target"][0]["holds"] == 2
    without = view(plan(None), run(), service_of(found, Written())).sections
    assert "together" not in {section.id for section in without}


def test_a_run_without_a_target_has_its_heat_map_all_the_same(tmp_path: Path) -> None:
    write_shared(tmp_path / "run", scenario(gpu=True))
    found = read_together(tmp_path / "run")
    assert isinstance(found, Together)
    assert found.about(planned.demand()) is None
    assert [title for title, _ in found.tables()] == ["Interference under time-slicing"]


def test_what_is_no_sharing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--sharing: ") as caught:
        read_together(tmp_path)
    assert str(caught.value).count("fix:") == 1
    assert "harness share" in str(caught.value.fix)
