"""What the terminal and the JSON say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console
from support import planned

from harness.errors import InconclusiveError
from harness.plan.outputs import answer, json_text, no_files, page, reasons, refused
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.proving import Proof, Trial
from harness.plan.systems import SYSTEMS


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned.plan()


def shown(plan: Plan) -> str:
    console = Console(width=110)
    with console.capture() as capture:
        console.print(page(plan))
    return capture.get()


def test_the_answer_comes_first(plan: Plan) -> None:
    assert answer(plan) == (
        "7 replicas of served/b1/c1, each asking for 3,300 MiB of GPU memory, on 2 cards: "
        "for 1,000 inferences a second within p99 ≤ 20 ms."
    )
    assert shown(plan).startswith("7 replicas of served/b1/c1")
    assert any("3 processes × 1,320 MiB (an estimate)" in text for text in reasons(plan))


def test_growth_is_spoken_of_where_there_is_some(plan: Plan) -> None:
    grown = make_plan(planned.run(), planned.demand(growth=0.5), Asked())
    assert "the rate is 1,000, with 50% growth 1,500; today's rate takes 7." in " ".join(
        reasons(grown)
    )
    assert "the rate is 1,000." in " ".join(reasons(plan))


def test_nothing_is_called_verified(plan: Plan) -> None:
    for text in (shown(plan), json_text(plan)):
        assert "verified" not in text.lower()
        assert "Nothing of this was tried under a cap" in text
    assert json.loads(json_text(plan))["proof"]["tried_under_a_cap"] is False


def test_json_has_every_system_with_its_request_or_why_not(plan: Plan) -> None:
    found = json.loads(json_text(plan))
    assert found["schema"] == "harness-plan/1"
    assert [s["system"] for s in found["systems"]] == list(SYSTEMS)
    assert all((s["request"] is None) == (s["refused"] is not None) for s in found["systems"])
    assert {"demand", "choice", "memory", "what_if", "undecided", "estimates"} <= found.keys()
    assert found["memory"]["mib"] == 3300


def test_hostile_names_are_no_markup() -> None:
    data = planned.run(backend="[red]x[/]")
    found = make_plan(data, planned.demand(), Asked())
    assert "[red]x[/]/b1/c1" in shown(found)


def test_without_a_gpu_the_host_is_named() -> None:
    found = make_plan(planned.run(gpu_memory_mib=None), planned.demand(), Asked())
    assert "host memory peaked at 1,000 MiB" in shown(found)
    assert json.loads(json_text(found))["memory"] is None
    assert "What if: replicas, by p99 target" in shown(found)  # of cards nothing is known
    assert "unknown" not in shown(found).partition("What if")[2].partition("Refused")[0]
    assert "What if: replicas (cards), by p99 target" in shown(planned.plan())
    with pytest.raises(InconclusiveError, match="of served no GPU memory was measured") as caught:
        make_plan(planned.run(gpu_memory_mib=None), planned.demand(), Asked(at=((8, 1, 1),)))
    assert "callers" not in str(caught.value.fix)  # more points would not help


def test_a_plan_with_requests_has_files_and_says_nothing_of_none(plan: Plan) -> None:
    assert no_files(plan) is None
    assert json.loads(json_text(plan))["no_files"] is None
    assert "Request by system" in shown(plan)
    assert "No files" not in shown(plan)


UNMEASURED = (
    "No files: of served/b1/c1 no GPU memory was measured, so there is none to ask for; plan from "
    "a run of a backend on a GPU."
)
ELSEWHERE = (
    "No files: of served/b1/c1 no GPU memory was measured, so there is none to ask for; run it "
    "again with server.telemetry, which measures the server's."
)
REFUSED = (
    "No files: each system that was asked for refuses the request, for the reason under Refused; "
    "without --system the plan is for all."
)


@pytest.mark.parametrize(
    ("memory", "server", "systems", "said", "why"),
    [
        (None, {}, (), UNMEASURED, "arena, arena-128mib, "),
        (0.0, {}, ("kai",), UNMEASURED, "kai: the run has no GPU memory to ask for"),
        (None, {"url": "http://gpu-7:8000"}, ("kai",), ELSEWHERE, "kai: the run has no GPU memory"),
        (3000.0, {}, ("driver-limits", "runai"), REFUSED, "needs driver r615"),
    ],
)
def test_instead_of_an_empty_table_it_says_why_there_are_no_files_and_what_to_do(
    memory: float | None, server: dict[str, str], systems: tuple[str, ...], said: str, why: str
) -> None:
    data = planned.run(gpu_memory_mib=memory)
    data.manifest["scenario"]["backends"][0]["server"] = server
    found = make_plan(data, planned.demand(), Asked(systems=systems))
    text = " ".join(shown(found).split())
    assert text.count(said) == 1
    assert "Request by system" not in text
    assert why in text
    assert json.loads(json_text(found))["no_files"] == said


def test_systems_that_refuse_for_one_reason_stand_in_one_line() -> None:
    found = make_plan(planned.run(gpu_memory_mib=None), planned.demand(), Asked())
    assert shown(found).count("the run has no GPU memory to ask for") == 1
    assert [len(rows) for rows in refused(found).values()] == [len(SYSTEMS)]


@pytest.mark.parametrize(("verified", "word"), [(True, "Verified under"), (False, "Not verified")])
def test_a_proof_takes_the_place_of_the_warning(plan: Plan, verified: bool, word: str) -> None:
    trial = Trial(1320, "holds" if verified else "fails", "p99 ≤ 20 ms", full=True, how="CUDA MPS")
    tried = replace(plan, proof=Proof("gpu_memory", 1320, True, (trial,), 26))
    assert word in shown(tried)
    assert "Nothing of this was tried" not in shown(tried)
    proof = json.loads(json_text(tried))["proof"]
    assert (proof["tried_under_a_cap"], proof["verified"]) == (True, verified)
    assert proof["smallest_mib"] == (1320 if verified else None)
    assert proof["trials"][0]["how"] == "CUDA MPS"


def test_money_is_of_whole_cards_at_the_planned_rate(plan: Plan) -> None:
    assert plan.cost_per_million is None
    paid = replace(plan, price=1.8)
    assert paid.cost_per_million == pytest.approx(2 * 1.8 / (1000 * 3600) * 1e6)
    assert "Money: 1 per million inferences" in shown(paid)
    assert json.loads(json_text(paid))["choice"]["cost_per_million"] == pytest.approx(1.0)


def test_why_a_card_holds_no_more_is_said_beside_it(plan: Plan) -> None:
    """Memory alone would let a card hold many more than the cards of the answer say."""
    need = plan.sized.need
    assert need is not None and need.busy_percent is not None
    (card,) = [text for text in reasons(plan) if text.startswith("Card: ")]
    assert f"; busy {need.busy_percent:.0f}% a replica: by that " in card
    unknown = replace(plan, sized=replace(plan.sized, need=replace(need, busy_percent=None)))
    assert not any("% a replica: " in text for text in reasons(unknown))
