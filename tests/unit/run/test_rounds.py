"""Which points a round measures, and what is said of rounds that are added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.observers import Silent
from support.rows import capacity, measurement

from harness.analysis.metrics import ADDED, CONFIRMATION
from harness.analysis.summary import summarize
from harness.measure.distribution import counts_of
from harness.results.events import MeasuredAgain
from harness.results.rows import PERCENTILES, MeasurementRow
from harness.results.store import RunStore, read_run
from harness.run.rounds import Rounds
from harness.run.selection import Selection
from harness.run.shard import Shard
from harness.run.state import RunState
from harness.scenario.points import expand
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs


def scenario(**more: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s",
        "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [
            {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime",
             "max_batch_size": [4, 8, 16], "instances": [1, 2]},
        ],
        "load": {"batch_sizes": 8, "concurrency": [1]},
        "measurement": {"rounds": 2, "rounds_max": 2},
        **more,
    })  # fmt: skip


def measured(point: str, config: str, throughput: float, round_: int) -> MeasurementRow:
    return measurement(
        point=point, round=round_, backend="t", config=config, batch_size=8, throughput=throughput,
        latency_ms=dict.fromkeys(PERCENTILES, 1.0),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore.create(tmp_path / "run", {"scenario": {}}) as made:
        yield made


def made(store: RunStore, written: Scenario) -> tuple[Rounds, RunState]:
    state = RunState(store, Silent())
    points = expand(written)
    return Rounds(written, points, configs(written), Selection(written), state), state


def test_a_config_that_takes_no_batch_does_not_end_a_climb(store: RunStore) -> None:
    """From the default (8) the climb looks at 16, then at 4, which has no point, then at two
    instances.
    """
    rounds, state = made(store, scenario(search="quick"))
    asked = []
    while wanted := rounds.wanted(0):
        for point in wanted:
            asked.append(point.config)
            state.add_result(measured(point.id, point.config, 100.0 - len(asked), 0))
    assert not any("mb4" in config for config in asked)
    assert any(config.startswith("i2") for config in asked)


def climbed(
    rounds: Rounds, state: RunState, busy: Mapping[str, int], step: float = 10.0
) -> Counter[str]:
    """Climb in the first round; how often each config was measured. The more instances and the
    larger batches, the better; the configs in `busy` are disturbed so many times.
    """
    seen = Counter[str]()
    for config, points in rounds.in_order("t", 0, rounds.wanted(0)):
        place = sum(int(part[-1]) for part in config.removeprefix("default").split("-") if part)
        for p in points:
            seen[config] += 1
            loud = seen[config] <= busy.get(config, 0)
            row = measured(p.id, config, (100.0 + step * place) / (1 + loud), 0)
            state.add_result(replace(row, flags=("foreign_load",) if loud else ()))
    return seen


@pytest.mark.parametrize(("times", "top"), [(1, True), (2, True), (3, False)])
def test_a_climb_goes_by_what_was_disturbed_once_it_was_measured_again(
    store: RunStore, tmp_path: Path, times: int, top: bool
) -> None:
    """The best lies behind the default's two neighbours, which were disturbed."""
    rounds, state = made(store, scenario(search="quick"))
    seen, again = climbed(rounds, state, {"i2-mb8": times, "i1-mb16": times}), min(times, 2)
    assert ("i2-mb16" in seen) == top
    assert (seen["default"], seen["i1-mb16"]) == (1, again + 1)
    done = read_run(tmp_path / "run")
    (row,) = (r for r in done.measurements if r.config == "i1-mb16")
    assert (row in state.rows, bool(row.flags)) == (True, not top)
    assert [line.point for line in done.rows(MeasuredAgain)].count(row.point) == again


def test_what_is_disturbed_is_not_measured_again_where_all_is_or_the_budget_is_spent(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, every = scenario(search="quick"), dict.fromkeys(["default", "i2-mb8", "i1-mb16"], 9)
    rounds, state = made(store, quick)
    assert set(climbed(rounds, state, every, step=-10.0).values()) == {1}
    grid = scenario(search="grid")
    assert set(climbed(*made(store, grid), {"i2-mb8": 1}).values()) == {1}
    rounds, state = made(store, quick)
    monkeypatch.setattr(rounds._selection, "too_late", lambda *config: config == (0, ""))
    assert set(climbed(rounds, state, {"i2-mb8": 1}).values()) == {1}


def test_reasons_of_an_added_round_are_those_of_its_points(store: RunStore) -> None:
    wide = {"rounds": 2, "rounds_max": 6}
    rounds, state = made(store, scenario(measurement=wide))
    points = rounds.wanted(0)
    values = {"default": 100.0, "i1-mb16": 99.0, "i2-mb16": 10.0}
    for round_ in range(2):
        for i, p in enumerate(points):  # luck that all shared would be the round's
            noise = 1 + 0.02 * round_ * (-1) ** i
            state.add_result(measured(p.id, p.config, values.get(p.config, 20.0) * noise, round_))
    near = [p for p in points if values.get(p.config, 20.0) > 90]
    assert rounds.why_added(1, points) == ""
    assert rounds.why_added(2, near) == "to tell the best apart"
    far = [p for p in points if p.config == "i2-mb16"]
    assert rounds.why_added(2, far) == "where intervals are too wide"
    both = rounds.why_added(2, [*near, *far])
    assert both == "to tell the best apart and where intervals are too wide"


def test_a_disturbed_round_is_measured_again_up_to_the_most(store: RunStore) -> None:
    """Also where its interval is narrow, and whatever its value; not without end."""
    wide = {"rounds": 2, "rounds_max": 4}
    rounds, state = made(
        store, scenario(measurement=wide, search={"method": "grid", "rounds_max": 1})
    )
    points = rounds.wanted(0)
    for round_ in range(2):
        for p in points:
            state.add_result(measured(p.id, p.config, 100.0, round_))
    assert rounds.wanted(2) == []
    first = replace(state.rows[0], flags=("foreign_load",))
    state.rows[0] = first
    (again,) = rounds.wanted(2)
    assert again.id == first.point
    assert rounds.why_added(2, [again]) == "where something disturbed it"
    state.add_result(replace(measured(again.id, again.config, 100.0, 2), flags=("cpu_steal",)))
    assert rounds.wanted(3) == [again]
    state.add_result(measured(again.id, again.config, 100.0, 3))
    assert rounds.wanted(4) == []


def test_what_was_chosen_is_confirmed_after_all_other_rounds_and_a_resumed_run_goes_on(
    store: RunStore, tmp_path: Path
) -> None:
    written = scenario(search={"method": "grid", "rounds_max": 4})
    rounds, state = made(store, written)
    for round_ in range(2):
        for index, p in enumerate(rounds.wanted(round_)):
            state.add_result(measured(p.id, p.config, 100.0 + 50 * index + round_, round_))
    assert rounds.wanted(2) == []  # told apart
    (best, default) = (p.id for p in sorted(
        (p for p in expand(written) if p.config in ("default", "i2-mb16")),
        key=lambda p: p.config == "default",
    ))  # fmt: skip
    confirmed = []
    for round_, points in rounds.confirmation():
        confirmed.append((round_, {p.id for p in points}))
        state.stages = {p.id: CONFIRMATION for p in points}
        for p in points if round_ < 6 else points[:1]:
            state.add_result(measured(p.id, p.config, 90.0 + round_, round_))
    assert confirmed == [(round_, {best, default}) for round_ in (4, 5, 6)]
    done = read_run(tmp_path / "run")
    (row,) = (r for r in summarize(done.measurements) if r.point == best)
    assert (row.rounds, row.confirmed and row.confirmed.rounds) in ((2, 3), (2, 2))
    assert row.value("throughput").value > 240  # the choice's rounds alone
    again = RunState(store, Silent(), done)
    resumed = Rounds(written, expand(written), configs(written), Selection(written), again)
    assert not any(map(resumed.wanted, range(resumed.most)))
    ((last, left),) = resumed.confirmation()
    assert (last, len(left)) == (6, 1)


def test_a_confirmation_that_was_disturbed_is_made_again(store: RunStore) -> None:
    """Up to as many times again, so that a machine that stays busy ends it."""
    rounds, state = made(store, scenario(search={"method": "grid", "rounds_max": 2}))
    for round_ in range(2):
        for index, p in enumerate(rounds.wanted(round_)):
            state.add_result(measured(p.id, p.config, 100.0 + 50 * index + round_, round_))
    seen: dict[str, list[int]] = {}
    for round_, points in rounds.confirmation():
        state.stages = {p.id: CONFIRMATION for p in points}
        for p in points:
            seen.setdefault(p.config, []).append(round_)
            row = measured(p.id, p.config, 90.0 + round_, round_)
            busy = p.config == "default" or round_ in (2, 3)
            state.add_result(replace(row, flags=("foreign_load",) if busy else ()))
    assert seen == {"default": [2, 3, 4, 5, 6, 7], "i2-mb16": [2, 3, 4, 5, 6]}
    (best,) = (r for r in summarize(state.rows) if r.config == "i2-mb16")
    assert best.confirmed is not None and best.confirmed.rounds == 3


@pytest.mark.parametrize(
    "more",
    [
        {"search": {"method": "grid", "confirm": 0}},
        {"objective": ["throughput", "latency_p50_ms"]},
        {"measurement": {"rounds": 1, "rounds_max": 1}},
    ],
)
def test_nothing_is_confirmed_where_it_is_not_wanted_or_nothing_is_chosen(
    store: RunStore, more: dict[str, Any]
) -> None:
    rounds, state = made(store, scenario(**more))
    for round_ in range(2):
        for index, p in enumerate(rounds.wanted(round_)):
            state.add_result(measured(p.id, p.config, 100.0 + 50 * index + round_, round_))
    assert not any(rounds.confirmation())


def test_rounds_that_are_added_for_width_say_so(store: RunStore) -> None:
    wide = {"rounds": 2, "rounds_max": 4}
    rounds, state = made(
        store, scenario(measurement=wide, search={"method": "grid", "rounds_max": 1})
    )
    points = rounds.wanted(0)
    for round_ in range(2):
        assert rounds.added(round_, points) == {}
        for index, p in enumerate(points):
            noise = 5.0 * round_ if index == 0 else 0.0
            state.add_result(measured(p.id, p.config, 100.0 + noise, round_))
    wanted = rounds.wanted(2)
    state.stages = rounds.added(2, wanted)
    assert state.stages == {points[0].id: ADDED}
    state.add_result(measured(points[0].id, points[0].config, 100.0, 2))
    assert state.rows[-1].details["stage"] == ADDED


def test_why_a_point_has_no_more_rounds(store: RunStore, tmp_path: Path) -> None:
    rounds, state = made(store, scenario(search={"method": "grid", "rounds_max": 3}))
    points = rounds.wanted(0)
    for index, p in enumerate(points):
        for round_ in range((1, 2, 3)[min(index, 2)]):
            state.add_result(measured(p.id, p.config, 100.0 + 9 * round_, round_))
    rounds.conclude()
    events = (tmp_path / "run" / "journal.jsonl").read_text()
    assert '"why": "dropped by the search, or a round failed"' in events
    assert '"why": "rounds_max (2) reached"' in events
    assert '"why": "for the choice"' in events
    assert '"event": "undecided"' in events


def test_every_backend_and_config_has_every_place_and_loads_ascend(store: RunStore) -> None:
    """Of two backends and two configs: over as many rounds, each stands everywhere."""
    both = [
        {"kind": "triton", "protocol": p, "name": p, "serve": "onnxruntime", "instances": [1, 2]}
        for p in ("grpc", "http")
    ]
    written = scenario(backends=both, load={"batch_sizes": [8, 1], "concurrency": [4, 1, 2]})
    rounds, state = made(store, written)
    points = expand(written)
    for p in points:  # the first round is measured in portions; the others whole
        state.add_result(measured(p.id, p.config, 100.0, 0))
    assert [{rounds.backends(r)[0] for r in (i, i + 1)} for i in (0, 2)] == [
        {"grpc", "http"}, {"grpc", "http"},
    ]  # fmt: skip
    found = {r: list(rounds.in_order("grpc", r, points)) for r in range(2, 8)}
    assert {found[r][0][0] for r in (2, 3)} == {config for config, _ in found[2]}
    assert len(found[2]) == 2
    for config, mine in found[3]:
        loads = [p.id.removeprefix(f"grpc/{config}/").removeprefix("grpc/") for p in mine]
        assert loads == ["b1/c1", "b1/c2", "b1/c4", "b8/c1", "b8/c2", "b8/c4"]


def test_a_search_for_the_capacity_that_was_disturbed_is_made_again(store: RunStore) -> None:
    rounds, state = made(store, scenario(
        model={"name": "m", "source": {"fake": {}}}, backends=[{"kind": "fake", "name": "f"}],
        load={"batch_sizes": [1], "find_capacity": {"latency_p99_ms": 50}},
        measurement={"rounds": 2, "rounds_max": 4},
    ))  # fmt: skip
    (point,) = expand(rounds._scenario)
    for round_, flags in enumerate([("foreign_load",), ()]):
        rate = measured("f/b1/r80", "default", 80.0, round_)
        state.add_result(replace(rate, flags=flags, details={"search": point.id}))
        state.add_result(capacity(point=point.id, backend="f", round=round_))
    assert rounds.wanted(2) == [point]
    assert rounds.why_added(2, [point]).startswith("where something disturbed it")
    state.rows[0] = replace(state.rows[0], flags=())
    assert rounds.wanted(2) == []


def test_loads_ascend_by_what_is_in_flight_and_searches_come_last(store: RunStore) -> None:
    load = {
        "batch_sizes": [4, 1], "concurrency": [8, 1], "request_rate": [20],
        "find_capacity": {"latency_p99_ms": 50},
    }  # fmt: skip
    fake = {"kind": "fake", "name": "f"}
    source = {"name": "m", "source": {"fake": {}}}
    written = scenario(model=source, backends=[fake], load=load)
    rounds, _ = made(store, written)
    ((_, mine),) = rounds.in_order("f", 1, expand(written))
    assert [p.id.removeprefix("f/") for p in mine] == [
        "b1/c1", "b4/c1", "b1/c8", "b4/c8", "b1/r20", "b4/r20", "b1/find_capacity",
        "b4/find_capacity",
    ]  # fmt: skip
    assert rounds.sessions(mine) == [mine]


@pytest.mark.parametrize("more", [
    {"constraints": {"gpu_memory_mib": {"max": 1000}}},
    {"objective": {"throughput": 1, "gpu_memory_mib": 1}}, {"objective": "host_memory_mib"},
])  # fmt: skip
def test_points_whose_memory_is_asked_about_have_sessions_of_their_own(
    store: RunStore, more: dict[str, Any]
) -> None:
    rounds, _ = made(store, scenario(load={"batch_sizes": 8, "concurrency": [1, 2]}, **more))
    points = rounds.wanted(0)
    assert rounds.apart
    assert rounds.sessions(points) == [[p] for p in points]


def counted(point: str, round_: int, requests: int) -> MeasurementRow:
    """Independent requests for 10 s."""
    ns = (1e6 * np.random.default_rng(round_).exponential(1, requests)).astype(np.int64)
    details = {"findings": {}, "latency_counts": counts_of(ns, np.zeros(requests, bool))}
    return measurement(
        point=point, round=round_, backend="t", batch_size=8, window_end_ns=10**10, details=details
    )


def test_a_window_grows_where_p99_would_rest_on_few_slow_stretches(store: RunStore) -> None:
    """7 in 690 requests: the four rounds to come must hold 33, not 28."""
    timing = {"rounds": 5, "rounds_max": 5, "window_requests": 662, "window_max": "60s"}
    rounds, state = made(store, scenario(measurement=timing))
    (point, *_) = rounds.wanted(0)
    assert rounds.longer_window(point, 0) is None
    state.add_result(counted(point.id, 0, 690))
    longer = rounds.longer_window(point, 1)
    assert longer is not None
    assert 10 < longer <= 15
    state.rows[0] = replace(state.rows[0], flags=("foreign_load",))
    assert rounds.longer_window(point, 1) is None  # what the machine's other work made slow


@pytest.mark.parametrize(
    ("changes", "requests"),
    [({}, 3000), ({"window_requests": 11}, 700), ({"window_max": "10s"}, 700),
     ({"budget": "1s"}, 700)],
)  # fmt: skip
def test_it_stays_as_planned_where_that_is_enough_or_no_more_is_asked_for(
    store: RunStore, changes: dict[str, Any], requests: int
) -> None:
    timing = {"rounds": 5, "rounds_max": 5, "window_requests": 662, "window_max": "60s"}
    rounds, state = made(store, scenario(measurement={**timing, **changes}))
    (point, *_) = rounds.wanted(0)
    state.add_result(counted(point.id, 0, requests))
    assert rounds.longer_window(point, 1) is None


def test_a_shard_measures_its_rounds_and_adds_none_for_width(store: RunStore) -> None:
    plain = scenario(
        backends=[{"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime"}],
        measurement={"rounds": 4, "rounds_max": 8},
    )
    state, points = RunState(store, Silent()), expand(plain)
    mine = Rounds(plain, points, configs(plain), Selection(plain), state, shard=Shard(1, 2))
    assert mine.planned == 2
    assert [r for r in range(mine.most) if mine.wanted(r)] == [2, 3]
    for round_ in (2, 3):
        state.add_result(measured(points[0].id, "default", 100.0 * round_, round_))
    assert not any(map(mine.wanted, range(mine.most)))  # its interval is wide
    heated = replace(measured(points[0].id, "default", 90.0, 3), flags=("throttled",))
    state.rows[-1] = heated
    added = [r for r in range(mine.most) if mine.wanted(r)]
    assert added == [5, 7]  # for what was disturbed, and none of the other shard's
    assert mine.why_added(5, points) == "where something disturbed it"
