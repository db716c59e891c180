"""What a load generator is told, there and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from support.stress import loaded, plan_of

from harness.swarm.plan import EnginePlan, pack, scenario_hash, unpack


def test_a_plan_reads_back_as_itself(tmp_path: Path) -> None:
    plan = plan_of(loaded(tmp_path))
    again = EnginePlan.from_json(plan.to_json())
    assert again == plan
    assert again.settings.protocol == "http"
    assert again.shape_of.shape.kind == "constant"
    assert again.prepared.source == {"triton": "identity"}
    assert (plan.host, plan.at("127.0.0.1:9").host) == ("http://127.0.0.1:1", "http://127.0.0.1:9")


def test_the_hash_is_of_what_was_written_and_not_of_where(tmp_path: Path) -> None:
    here, there = loaded(tmp_path / "a"), loaded(tmp_path / "b")
    assert scenario_hash(here) == scenario_hash(there)
    assert scenario_hash(here) != scenario_hash(loaded(tmp_path / "c", "3s"))
    (tmp_path / "b" / "naps.py").write_text("# another\n", encoding="utf-8")
    assert scenario_hash(here) != scenario_hash(there)


def test_requests_travel_with_names_types_and_shapes() -> None:
    requests = [{"a/b": np.ones((1, 2), np.float16), "c": np.array([i])} for i in range(11)]
    found = unpack(pack(requests))
    assert len(found) == 11
    for there, here in zip(requests, found, strict=True):
        assert there.keys() == here.keys()
        assert all(np.array_equal(there[n], here[n]) for n in there)
        assert here["a/b"].dtype == np.float16
