"""Points and the estimate."""

from __future__ import annotations

import pytest
from support.paths import ROOT

from harness.scenario.points import RELOAD_SECONDS, Point, estimate, expand
from harness.scenario.reading.loader import load
from harness.scenario.spec.backend import all_settings, settings_of
from harness.scenario.spec.scenario import Scenario

QUICKSTART = load(ROOT / "scenarios" / "quickstart.yaml").scenario


def scenario(rounds: int = 1, **load_: list[int]) -> Scenario:
    return Scenario.model_validate(
        {
            "scenario": "s",
            "model": {"name": "n", "source": {"fake": {}}},
            "backends": [{"kind": "fake", "name": "a"}, {"kind": "fake", "name": "b"}],
            "load": load_,
            "measurement": {"rounds": rounds, "warmup": "1s", "window": "3s"},
        }
    )


def test_points_are_the_product_in_the_order_written() -> None:
    points = expand(scenario(batch_sizes=[4, 1], concurrency=[2]))
    assert [p.id for p in points] == ["a/b4/c2", "a/b1/c2", "b/b4/c2", "b/b1/c2"]


def test_a_point_reads_back_from_its_id() -> None:
    points = [*expand(QUICKSTART), Point("a", "two", 1, request_rate=12.5)]
    assert [Point.parse(p.id) for p in points] == points
    assert len({p.id for p in points}) == 25


@pytest.mark.parametrize("text", ["", "a", "a/b1", "a/b/c/b1/c1", "a/1/c1", "a/b1/x1", "a/bx/c1"])
def test_what_is_no_point(text: str) -> None:
    with pytest.raises(ValueError):
        Point.parse(text)


def test_the_estimate_counts_windows_warm_ups_and_starts() -> None:
    two_starts = 2 * settings_of("fake").start_seconds
    assert estimate(scenario(batch_sizes=[1, 2], concurrency=[1, 2])) == 10 * 4.0 + two_starts
    assert estimate(scenario(rounds=3)) == 3 * (4 * 4.0 + two_starts)


def test_the_estimate_counts_no_start_of_a_server_that_runs_already() -> None:
    spec = scenario(concurrency=[1]).model_dump(mode="json", exclude_unset=True)
    spec["model"]["source"] = {"triton": "n"}
    triton = {"kind": "triton", "protocol": "http", "server": {"url": "127.0.0.1:8000"}}
    attached = Scenario.model_validate({**spec, "backends": [triton]})
    assert estimate(attached) == 2 * 4.0 + RELOAD_SECONDS


def test_every_kind_of_backend_has_an_allowance() -> None:
    assert all(s.start_seconds > 0 for s in all_settings().values())
    assert all("start_seconds" in vars(s) for s in all_settings().values())


def test_the_quickstart_is_estimated_well_below_its_six_minutes() -> None:
    assert 60 < estimate(QUICKSTART) < 300


@pytest.mark.parametrize("sizes", ["", "sequence=128", "height=mix,width=224"])
@pytest.mark.parametrize("load", [{"concurrency": 2}, {"request_rate": 0.5}, {"shape": "ramp"}])
def test_sizes_are_part_of_a_points_name(sizes, load):
    point = Point("triton-http", "i2-mb4", 4, sizes=sizes, **load)
    assert Point.parse(point.id) == point
    assert point.id.split("/")[2] == f"b4{',' if sizes else ''}{sizes}"
