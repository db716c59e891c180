"""Whether points disturb each other in lanes: the rule, its error rates, and two lanes for real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.host_bound import install
from support.paths import ROOT
from support.rows import point

from harness.analysis.intervals import Interval
from harness.fleet import trial
from harness.fleet.devices import Lane
from harness.fleet.trial import ROUNDS, Tried, find_out, judge, ratio
from harness.scenario.reading.loader import LoadedScenario, load_text

TEXT = """
scenario: s
model: {name: nothing, source: {fake: {}}}
backends: [{kind: fake, name: a}, {kind: fake, name: b, service_time_ms: 2}]
load: {batch_sizes: [1, 4], LOAD}
measurement: {profile: quick, rounds: ROUNDS}
"""
LANES = [Lane(0, "cpu 0", (0,)), Lane(1, "cpu 1", (1,))]


def loaded(load: str = "concurrency: [1, 8]", rounds: int = 2) -> LoadedScenario:
    text = TEXT.replace("LOAD", load).replace("ROUNDS", str(rounds))
    return LoadedScenario(load_text(text, "s.yaml", Path()), text, Path("s.yaml"), ())


def found(scenario: LoadedScenario, folder: Path, wanted: bool | None = None) -> object:
    return find_out(scenario, LANES, folder, lambda: None, wanted=wanted, tell=lambda _: None)


# ---------------------------------------------------------------------------------------- the rule


def test_what_is_half_as_fast_beside_others_is_disturbed_and_its_backend_measured_alone() -> None:
    alone = [point([100, 101, 99, 100], backend="a"), point([50, 51, 50, 49], backend="b")]
    beside = [point([50, 51, 49, 50], backend="a"), point([50, 50, 51, 49], backend="b")]
    one, two = judge(alone, beside)
    assert (one.backend, one.disturbed, two.disturbed) == ("a", True, False)
    assert one.words == (
        "a/b1/c1 is 0.50 [0.49, 0.51] times as fast beside other lanes as alone: all points of a "
        "are measured one at a time"
    )
    assert two.words.endswith("left side by side")
    assert trial.alone_of(loaded().scenario, [one, two]) == [
        f"a/b{b}/c{c}" for b in (1, 4) for c in (1, 8)
    ]


@pytest.mark.parametrize("low, high, shown", [
    (0.99, 1.01, "not slower by 2 %"), (0.5, 1.5, "not shown to be slower"),
])  # fmt: skip
def test_words_of_what_is_left_side_by_side(low: float, high: float, shown: str) -> None:
    assert shown in Tried("a", "a/b1/c1", Interval(1.0, low, high)).words


def test_slower_by_less_than_the_margin_is_not_disturbed() -> None:
    assert not Tried("a", "p", Interval(0.99, 0.98, 0.999)).disturbed


def test_one_round_judges_nothing() -> None:
    (only,) = judge([point([100])], [point([50])])
    assert not only.disturbed
    assert "could not be tried" in only.words


def test_equal_rounds_have_an_interval_of_no_width() -> None:
    found = ratio([50.0, 50.0], [100.0, 100.0])
    assert (found.low, found.value, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_error_rates() -> None:
    """Rounds that scatter by 1 %: equal ones are rarely called disturbed, 5 % slower mostly."""
    rng = np.random.default_rng(1)
    rates = {}
    for truth in (1.0, 0.95):
        logs = rng.normal(0, 0.01, (500, 2, ROUNDS)) + np.log([[truth], [1.0]])
        rates[truth] = np.mean([Tried("a", "p", ratio(*np.exp(s))).disturbed for s in logs])
    assert rates[1.0] < 0.02
    assert rates[0.95] > 0.9


# --------------------------------------------------------------------------- whether it is tried


def test_a_short_run_is_not_tried_and_that_is_said(tmp_path: Path) -> None:
    assert found(loaded(rounds=2), tmp_path) == ([], [
        "whether points disturb each other in lanes was not tried: that takes more than 10% of "
        "this run (--trial does it)"
    ])  # fmt: skip


def test_a_long_run_is_worth_it() -> None:
    long = loaded(rounds=200)
    short = load_text(long.text, "s.yaml", Path(), trial.overrides(long.scenario) or ())
    assert [len(short.backends), short.load.batch_sizes, short.load.concurrency] == [
        2, (1,), (8,),
    ]  # fmt: skip
    assert short.measurement.rounds == ROUNDS
    assert trial.worth(long.scenario, short, lanes=2)
    assert not trial.worth(loaded(rounds=2).scenario, short, lanes=2)


def test_one_lane_an_open_loop_and_a_user_who_says_no(tmp_path: Path) -> None:
    assert found(loaded(), tmp_path, wanted=False) == ([], [])
    said = found(loaded("request_rate: [10]"), tmp_path)
    assert said == ([], [f"{trial.NOT_TRIED}: the scenario has no closed loop"])
    one = find_out(loaded(), LANES[:1], tmp_path, lambda: None, wanted=True, tell=print)
    assert one == ([], [])


def test_a_lane_that_can_t_begin_is_said(tmp_path: Path) -> None:
    missing = replace(loaded(), path=tmp_path / "not-there.yaml")
    alone, (said,) = found(missing, tmp_path / "trial", wanted=True)  # type: ignore[misc]
    assert alone == []
    assert said.startswith(trial.NOT_TRIED)


# -------------------------------------------------------------------------------------- for real


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_lanes_that_wait_for_one_another_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of the host, 20 ms a request: half as fast beside the other lane."""
    install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    file = tmp_path / "s.yaml"
    text = f"""
scenario: host-bound
model: {{name: nothing, source: {{fake: {{}}}}}}
backends: [{{kind: host_bound, name: a, lock: {tmp_path / "lock"}}}]
load: {{batch_sizes: [1], concurrency: [2]}}
measurement: {{profile: quick, rounds: 2, warmup: 50ms, window: 500ms}}
"""
    file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    from harness.backends import registry

    monkeypatch.setattr(registry, "BACKENDS", dict(registry.BACKENDS))
    registry.register("host_bound", settings="host_bound:HostBoundSettings",
                      backend="host_bound:HostBoundBackend")  # fmt: skip
    scenario = LoadedScenario(load_text(text, str(file), tmp_path), text, file, ())
    alone, (said,) = find_out(
        scenario, LANES, tmp_path / "trial", lambda: None, wanted=True, tell=print
    )
    assert alone == ["a/b1/c2"], said
    assert "all points of a are measured one at a time" in said
