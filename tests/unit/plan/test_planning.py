"""From a recorded run to a plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import planned
from support.paths import SAMPLE

from harness.errors import HarnessError, InconclusiveError
from harness.plan.outputs import nobody
from harness.plan.planning import Asked, make_plan
from harness.plan.rounding import Need, Rounded
from harness.plan.systems import SYSTEMS
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run


def test_the_plan_of_a_small_run() -> None:
    found = planned.plan()
    # 201 a second less its interval, less 20 %: seven replicas of 3,000 MiB and a tenth
    assert (found.sized.candidate.point, found.sized.replicas) == ("served/b1/c1", 7)
    assert found.sized.need is not None
    assert (found.sized.need.mib, found.sized.need.processes) == (3300, 3)
    assert found.sized.cards == 2  # four fit a card by memory, five by compute
    rows = {row.system.name: row for row in found.systems}
    assert rows["mps"].rounded is not None
    assert (rows["mps"].rounded.written, rows["mps"].rounded.mib) == ("1320M", 3960)
    assert rows["driver-limits"].refused.startswith("needs driver r615")
    assert any("only the sum was measured" in text for text in found.estimates)


def test_the_what_if_table_goes_over_rate_and_target() -> None:
    cells = planned.plan().what_if
    assert len(cells) == 16
    by = {(c.rate, c.slo_p99_ms): c for c in cells}
    assert by[1000.0, 20.0].replicas == 7
    # t(2) = 4.303: 201 − 4.303/√3 = 198.5, × 0.8 = 158.8; 4000/158.8 = 25.2
    assert by[4000.0, 20.0].replicas == 26
    assert by[1000.0, 80.0].point == "served/b1/c8"
    assert by[1000.0, 10.0].point == "served/b1/c1"


@pytest.mark.parametrize(("flags", "word"), [((), "none"), (("outputs_differ",), "undecided")])
def test_a_cell_without_a_point_says_whether_that_was_shown(flags: tuple, word: str) -> None:
    """At half of 20 ms, of points with 9.1 and 40 ms: the faster one is believed, or not."""
    slow = planned.run(latency_ms={"p50": 15.0, "p99": 15.1})
    extra = planned.run(backend="fast", flags=flags).events if flags else ()
    data = RunData(slow.path, slow.manifest, (*slow.events, *extra))
    cells = make_plan(data, planned.demand(), Asked()).what_if
    (cell,) = (c for c in cells if (c.rate, c.slo_p99_ms) == (1000.0, 10.0))
    assert (cell.point, nobody(cell)) == (None, word)


def test_what_can_not_be_answered_says_why() -> None:
    with pytest.raises(HarnessError, match=r"no point of the run holds p99 ≤ 5 ms.*lowest is 9"):
        make_plan(planned.run(), planned.demand(slo_ms=5.0), Asked())
    with pytest.raises(HarnessError, match="does not fit a card of 2,000 MiB"):
        make_plan(planned.run(), planned.demand(), Asked(card_mib=2000))
    data = planned.run()
    once = tuple(e for e in data.events if getattr(e, "round", 0) == 0)
    with pytest.raises(InconclusiveError, match="1 point undecided, served/b1/c1"):
        make_plan(type(data)(data.path, data.manifest, once), planned.demand(), Asked())


def test_points_that_cannot_be_believed_decide_nothing() -> None:
    """It was: no point holds the target; allow a longer latency. Exit code 1."""
    data = planned.run(flags=("outputs_differ",))
    with pytest.raises(InconclusiveError, match=r"2 points can't be believed: served/b1/c1, ") as e:
        make_plan(data, planned.demand(slo_ms=50.0), Asked())
    assert str(e.value.fix).endswith("harness explain run served/b1/c1")


def served(**server: object) -> RunData:
    """As `planned.run`, by such a server."""
    data = planned.run()
    (backend,) = data.manifest["scenario"]["backends"]
    scenario = {**data.manifest["scenario"], "backends": [{**backend, "server": server}]}
    return replace(data, manifest={**data.manifest, "scenario": scenario})


@pytest.mark.parametrize(
    ("server", "count", "mib"),
    [
        ({}, 3, 1320), ({"native": False, "docker": {"image": "i"}}, 3, 1320),
        ({"docker": {"image": "i"}}, 1, 3300), ({"native": True}, 1, 3300),
        ({"repository": "models"}, 1, 3300), ({"url": "http://there:8000"}, 1, 3300),
    ],
)  # fmt: skip
def test_a_triton_without_stubs_of_ours_holds_all_of_it_in_one_process(
    server: dict[str, object], count: int, mib: int
) -> None:
    """A limit of a part of it would end it as it loads."""
    need = make_plan(served(**server), planned.demand(), Asked()).sized.need
    assert need is not None
    assert (need.processes, need.process_mib) == (count, mib)
    asked = make_plan(served(**server), planned.demand(), Asked(processes=3)).sized.need
    assert asked is not None
    assert asked.process_mib == 1320


def test_it_is_said_where_a_scheduler_may_put_more_on_a_card_than_hold_there() -> None:
    """By memory four of 3,300 MiB; by compute two of them, each busy for half of the time."""
    data = planned.run(gpu_utilization_percent=50.0)
    found = make_plan(data, planned.demand(), Asked())
    rows = {row.system.name: row for row in found.systems}
    hami = rows["hami"]
    assert hami.fit is not None and hami.rounded is not None
    assert (hami.fit.per_card, hami.fit.binding, hami.rounded.crowded) == (2, "compute", 4)
    assert hami.rounded.notes[-1] == (
        "it places by what is written, up to 4 on a card, and 2 hold there (compute binds): "
        "--compute 50, or a request of 5,121 MiB keeps the others off"
    )
    kai = rows["kai"]
    assert kai.rounded is not None
    assert kai.rounded.notes[-1].endswith(": a request of 5,121 MiB keeps the others off")
    assert any("arena, arena-128mib, ack, ack-128mib and 12 more: “What bites” says" in text
               for text in found.estimates)  # fmt: skip
    for name in ("mps", "hami-core", "device-plugin", "dra-mps", "dra-mig"):
        other = rows[name].rounded
        assert other is not None and other.crowded is None, name


@pytest.mark.parametrize("asked", [{"compute": 50}, {}])
def test_nothing_is_said_where_what_is_written_keeps_them_apart(asked: dict[str, int]) -> None:
    """Half of a card's compute for each; or two replicas, of which a card holds two."""
    data = planned.run(gpu_utilization_percent=50.0)
    demand = planned.demand(1000.0 if asked else 300.0)
    found = make_plan(data, demand, Asked(systems=("hami", "dra-hami"), **asked))
    assert all(row.rounded and row.rounded.crowded is None for row in found.systems)
    assert not any("“What bites”" in text for text in found.estimates)


def test_a_request_as_the_note_has_it_keeps_the_others_off() -> None:
    for name in ("hami", "hami-percentage", "kai", "arena", "gpushare-mib", "volcano-vgpu"):
        need = Need(5121, 5121, card_mib=planned.CARD)
        rounded = SYSTEMS[name].request(need)
        assert isinstance(rounded, Rounded)
        assert rounded.per_card == 2, name


def test_without_a_gpu_replicas_are_planned_and_systems_refuse() -> None:
    found = make_plan(
        planned.run(gpu_memory_mib=None, gpu_utilization_percent=None), planned.demand(), Asked()
    )
    assert found.sized.replicas == 7
    assert all(row.rounded is None for row in found.systems)


def test_a_server_whose_memory_nobody_measured_is_not_the_cheapest() -> None:
    """Its cards are unknown, not none: what was measured is planned, however many it takes."""
    data = planned.run()
    rows = [row for row in data.events if isinstance(row, MeasurementRow)]
    far = [replace(row, point=row.point.replace("served", "far"), backend="far",
                   gpu_memory_mib=None, gpu_utilization_percent=None, throughput=9 * row.throughput)
           for row in rows]  # fmt: skip
    scenario = data.manifest["scenario"]
    there = {"name": "far", "kind": "triton", "server": {"url": "elsewhere:8000"}}
    manifest = {**data.manifest, "scenario": {
        **scenario, "backends": [*scenario["backends"], there],
    }}  # fmt: skip
    both = type(data)(data.path, manifest, (*data.events, *far))
    assert make_plan(both, planned.demand(), Asked()).sized.candidate.backend == "served"
    alone = make_plan(type(data)(data.path, manifest, tuple(far)), planned.demand(), Asked())
    assert alone.sized.unknown
    assert any("a server that was there already are not known" in s for s in alone.estimates)


def test_the_sample_of_a_real_gpu_has_a_plan() -> None:
    found = make_plan(read_run(SAMPLE), planned.demand(500.0), Asked())
    need = found.sized.need
    assert need is not None
    assert need.card_mib == 143_771
    assert found.sized.candidate.p99_ms is not None
    assert found.sized.candidate.p99_ms <= 20
    assert found.sized.load * found.sized.replicas >= 500
    assert (found.sized.candidate.gpu_mib, need.mib) == (858.0, 944)


def test_the_card_is_the_one_that_the_backend_ran_on() -> None:
    data = planned.run()
    (settings,) = data.manifest["scenario"]["backends"]
    other = {"name": "NVIDIA Large", "memory_mib": 81_559, "driver": "615.1", "index": 1}
    manifest = {
        **data.manifest,
        "scenario": {**data.manifest["scenario"], "backends": [{**settings, "device": "cuda:1"}]},
        "machine": {"gpus": [*data.manifest["machine"]["gpus"], other]},
    }
    found = make_plan(type(data)(data.path, manifest, data.events), planned.demand(), Asked())
    assert found.card == "NVIDIA Large, 81,559 MiB"
    assert found.sized.need is not None
    assert (found.sized.need.card_mib, found.sized.need.driver) == (81_559, 615)
