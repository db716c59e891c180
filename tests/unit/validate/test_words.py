"""What `validate` says a scenario does."""

from __future__ import annotations

import pytest
from support.paths import ROOT

from harness.scenario.reading.loader import load
from harness.validate.words import measures, will_do


def of(name: str, *overrides: str) -> str:
    return will_do(load(ROOT / "scenarios" / f"{name}.yaml", overrides).scenario)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["load.batch_sizes=1", "load.concurrency=[1,2,4]"],
         "6 points (2 backends × 1 batch size × 3 concurrencies), 3 rounds"),
        (["load.concurrency=1", "load.request_rate=[5, 9]", "measurement.rounds=1"],
         "12 points (2 backends × 2 batch sizes × 3 loads), 1 round"),
        (["load={find_capacity: {latency_p99_ms: 9}}"],
         "2 points (2 backends × 1 batch size × a search for the capacity), 3 rounds"),
    ],
)  # fmt: skip
def test_points_are_counted_by_what_they_are_made_of(overrides: list[str], said: str) -> None:
    assert of("fake", *overrides) == said


def test_configs_are_counted_beside_their_backends() -> None:
    said = "36 points (1 backend in 9 configs × 1 batch size × 4 concurrencies), 3 rounds"
    assert of("triton-search") == said
    assert of("triton-search", "search=quick") == f"at most {said}"


def test_a_scenario_for_stress_says_its_load_faults_and_thresholds_and_no_points() -> None:
    assert of("stress-triton") == (
        "`harness stress` makes 40s of load (spike, 20 to 200 requests/s), "
        "1 fault (kill at 25s), 3 thresholds"
    )
    assert of("stress-triton", "stress={shape: {soak: {users: 3, duration: 90s}}}") == (
        "`harness stress` makes 90s of load (soak, 3 users), no fault, 0 thresholds"
    )
    wave = "stress={shape: {wave: {base: 2, peak: 9, period: 1m, duration: 3m}}}"
    assert "(wave, 2 to 9 requests/s)" in of("stress-triton", wave)
    assert of("stress-triton", "load.concurrency=1").endswith(
        "; `harness run` measures 1 point (1 backend × 1 batch size × 1 concurrency), 5 rounds"
    )


def test_a_scenario_for_share_says_its_tenants() -> None:
    said = "`harness share` measures 2 tenants, each alone and together, in 2 modes, 3 rounds"
    assert of("tenants-cpu") == said


def test_measures_says_the_points_whatever_the_scenario_is_for() -> None:
    scenario = load(ROOT / "scenarios" / "stress-triton.yaml").scenario
    assert measures(scenario).startswith("1 point ")
