from __future__ import annotations

from support.shared import scenario

from harness.scenario.spec.scenario import Scenario
from harness.tenants.seating import Occupant, scenario_of, window_of


def test_a_tenant_is_the_only_backend_of_its_scenario() -> None:
    model = {"source": {"fake": {}}, "name": "other"}
    load = {"concurrency": 1, "batch_size": 8}
    tenants = ({"name": "a", "load": {"concurrency": 2}},
               {"name": "b", "model": model, "load": load})  # fmt: skip
    found = scenario(tenants=tenants)
    assert found.sharing is not None
    first, second = (scenario_of(found, t) for t in found.sharing.tenants)
    assert (first.model.name, first.load.batch_sizes) == ("m", (1,))
    assert (second.model.name, second.load.batch_sizes) == ("other", (8,))
    assert second.sharing is None
    assert Occupant(second, None).spec.name == "f"  # type: ignore[arg-type]
    assert isinstance(first, Scenario)


def test_the_window_is_that_of_the_scenario() -> None:
    m = scenario().measurement
    window = window_of(m)
    assert (window.window, window.warmup, window.window_max) == (m.window, m.warmup, m.window_max)
