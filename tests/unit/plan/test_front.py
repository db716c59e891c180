"""The command line's texts as a demand, and the service's name."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from support import planned

from harness.errors import SetupError, UsageError
from harness.plan.front import Written, _write, carry_out, demand_of, service_of
from harness.plan.outputs import no_files, reasons
from harness.plan.planning import Asked, make_plan
from harness.results.store import RunStore


def test_a_demand_is_read() -> None:
    found = demand_of(500.0, "20ms", "20%", "0.5")
    assert (found.slo_p99_ms, found.headroom, found.planned_rate) == (20.0, 0.2, 750.0)


@pytest.mark.parametrize("texts", [("20", "0", "0"), ("0ms", "0", "0"), ("1s", "1", "0")])
def test_what_is_none_is_refused(texts: tuple[str, str, str]) -> None:
    with pytest.raises(UsageError):
        demand_of(1.0, *texts)


@pytest.mark.parametrize("rate", [math.nan, math.inf, 1e308, 0.0])
def test_a_rate_that_no_service_has_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="is no rate of a service") as caught:
        demand_of(rate, "20ms", "20%", "0")
    assert "at most 1,000,000,000,000" in str(caught.value.fix)


def test_growth_beyond_any_rate_and_a_target_beyond_any_time_are_refused() -> None:
    with pytest.raises(UsageError, match="with --growth 1e300 is no rate"):
        demand_of(1.0, "20ms", "20%", "1e300")
    with pytest.raises(UsageError, match="--slo-p99: "):
        demand_of(1.0, f"{'9' * 400}ms", "20%", "0")


def test_the_service_is_named_by_its_point_or_as_asked() -> None:
    plan = planned.plan()
    assert service_of(plan, Written()).name.startswith("served-b1-c1-")
    named = service_of(plan, Written("resnet", "image:1"))
    assert named.load == plan.sized.load
    knee = replace(plan.sized, candidate=replace(plan.sized.candidate, knee=100.0))
    early = replace(plan, sized=knee)
    assert service_of(early, Written()).load == 100.0  # an autoscaler adds one from the knee on
    assert any("from 100 a second of each" in text for text in reasons(early))
    assert (named.name, named.container_image, named.triton) == ("resnet", "image:1", True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("sharing", "--sharing takes this one beside it"), ("stress", "of a run of `harness run`")],
)
def test_a_run_of_another_command_is_refused(tmp_path: Path, kind: str, said: str) -> None:
    """Its rows are tenants' or a schedule's, which would look like points."""
    with RunStore.create(tmp_path / "run", {"schema_version": 3, "scenario": {}, "kind": kind}):
        pass
    with pytest.raises(UsageError, match=r"is of `harness (share|stress)`") as caught:
        carry_out(tmp_path / "run", planned.demand(), Asked(), Written(), None, as_json=False)
    assert said in str(caught.value.fix)


@pytest.mark.parametrize("where", ["html", "pdf", "output"])
def test_what_cannot_be_written_is_said(where: str) -> None:
    path = Path("/proc/nothing/there")
    with pytest.raises(SetupError, match="/proc/nothing"):
        _write(planned.plan(systems=("mps",)), planned.run(), Written(**{where: path}), err=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("as_json", [False, True])
def test_where_there_are_no_files_the_reason_stands_for_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    data, folder = planned.run(gpu_memory_mib=None), tmp_path / "deploy"
    plan = make_plan(data, planned.demand(), Asked())
    _write(plan, data, Written(output=folder), err=as_json)
    found = capsys.readouterr()
    assert (found.err if as_json else found.out) == f"{no_files(plan)}\n"
    assert not folder.exists()
