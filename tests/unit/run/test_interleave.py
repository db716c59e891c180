"""Two backends in turns: a real run of fakes, and what becomes of one that fails in a turn."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.observers import Silent
from support.rows import measurement
from support.turns import turn

from harness.errors import BackendError
from harness.load.plan import WindowSettings
from harness.measure.reduce import reduce
from harness.results.events import Spent
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, read_samples
from harness.results.series import read_parquet
from harness.results.store import read_run
from harness.run.execute import start
from harness.run.interleave import measure_in_turns
from harness.run.rounds import Extra
from harness.run.worker.messages import PointMeasured
from harness.scenario.points import Point
from harness.scenario.reading.loader import load

TEXT = """\
scenario: s
model: {name: m, source: {fake: {}}}
backends:
  - {kind: fake, name: a, service_time_ms: 1}
  - {kind: fake, name: b, service_time_ms: 3}
load: {concurrency: [1, 2], request_rate: [50]}
measurement: {profile: quick, rounds: 2, rounds_max: 2, warmup: 20ms, warmup_requests: 2,
              window: 200ms, window_requests: 11, window_max: 1s, interleave: 40ms}
"""
NOTHING = Extra(lambda *_: [], 0, "")


def run(folder: Path, text: str = TEXT, extra: Extra | None = NOTHING) -> list[MeasurementRow]:
    (folder / "s.yaml").write_text(text)
    start(load(folder / "s.yaml"), folder / "out", nullcontext(Silent()), extra)
    data = read_run(folder / "out")
    assert not data.failures
    return data.measurements


def test_closed_loops_are_measured_in_turns_and_rates_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = run(tmp_path)
    assert len(rows) == 2 * 2 * 3
    for row in rows:
        taken = row.details.get("turns")
        assert (taken is None) == (row.concurrency is None)
        if taken is None:
            continue
        other = next(
            r for r in rows
            if (r.concurrency, r.round) == (row.concurrency, row.round) and r.backend != row.backend
        )  # fmt: skip
        assert taken == other.details["turns"] >= 4
        assert row.latency_ms["p50"] == pytest.approx(1 if row.backend == "a" else 3, rel=0.5)
        samples = read_samples(tmp_path / "out" / row.samples)
        found = reduce(samples, row.window_begin_ns, row.window_end_ns, 1)
        assert (found.requests, found.throughput) == (row.requests, row.throughput)
        assert row.cpu_cores is not None
        assert row.cpu_cores < 1
    for name in ("r0-a", "r0-b", "r1-a", "r1-b"):
        assert read_parquet(tmp_path / "out" / "telemetry" / f"{name}.parquet")


def test_what_turns_spend_of_a_budget_is_kept_for_a_run_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = TEXT.replace(", request_rate: [50]", "").replace("[1, 2]", "[1]")
    run(tmp_path, text.replace("rounds: 2,", "budget: 60s, rounds: 2,"))
    spent = [e.seconds for e in read_run(tmp_path / "out").rows(Spent)]
    assert len(spent) > 2
    assert spent[0] > 0 and spent == sorted(spent)


def test_one_backend_alone_takes_no_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial of `plan --verify` adds rounds too, to a scenario that may say `interleave`."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = TEXT.replace(", request_rate: [50]", "").replace("[1, 2]", "[1]")
    rows = run(tmp_path, text.replace("  - {kind: fake, name: b, service_time_ms: 3}\n", ""))
    assert [row.backend for row in rows] == ["a", "a"]
    assert not any("turns" in row.details for row in rows)


def test_a_run_that_compares_nothing_takes_no_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = TEXT.replace(", request_rate: [50]", "").replace("[1, 2]", "[1]")
    rows = run(tmp_path, text, extra=None)
    assert len(rows) == 4
    assert not any("turns" in row.details for row in rows)


class Measurement:
    """What turns ask of a `PointMeasurement`; the number of the turn that fails, if one does."""

    round_, log = 0, "logs/x.log"

    def __init__(self, calls: list[str], fails: int | None = None, each_ms: float = 1.0) -> None:
        self.calls, self.fails, self.each_ms, self.taken = calls, fails, each_ms, 0
        self.failed: list[tuple[str, str]] = []
        self.results: list[MeasurementRow] = []
        self.alone: list[str] = []
        self.state = SimpleNamespace(
            fail=lambda point, _, error, __: self.failed.append((point.id, str(error))),
            add_result=self.results.append,
        )
        self.session = SimpleNamespace(measured=None)

    def settings(self, point: Point) -> WindowSettings:
        return WindowSettings(1.0, 5, 1.0, 11, 10.0, 30.0)

    def file_name(self, point: Point) -> str:
        return point.id.replace("/", "--")

    def answers(self, point: Point, *_: object, again: bool) -> Any:
        assert again == (self.taken > 0)
        if self.taken == self.fails:
            raise BackendError("it raised")
        window, samples = turn(300 * self.taken, self.each_ms)
        self.taken += 1
        self.calls.append(point.backend)
        wrong = ("off",) if self.taken == 2 else ()
        return [PointMeasured(window, samples.messages, 1, wrong, 4)], [samples]

    def row(
        self, point: Point, model: object, answer: PointMeasured, window: object,
        samples: Samples, started: str, *, level: bool,
    ) -> MeasurementRow:  # fmt: skip
        assert not level
        details: Any = {"outputs_checked": answer.outputs_checked, "findings": {},
                        "joules_per_inference": 1.0, "wrong": answer.outputs_wrong}  # fmt: skip
        return measurement(point=point.id, gpu_power_w=300.0, details=details)

    def point(self, point: Point) -> None:
        self.alone.append(point.id)


def sides(one: Measurement, other: Measurement) -> Any:
    return [(one, Point("a", "default", 1, 1)), (other, Point("b", "default", 1, 1))]


def test_turns_alternate_and_leave_one_row_a_side() -> None:
    calls: list[str] = []
    one, other = Measurement(calls), Measurement(calls)
    measure_in_turns(sides(one, other), 0.1)
    assert calls == ["a", "b", "b", "a"] * 5
    for side in (one, other):
        (row,) = side.results
        assert row.details["turns"] == 10
        assert row.details["outputs_checked"] == 10
        assert row.details["wrong"] == ("off",)
        assert row.gpu_power_w is None
        assert "joules_per_inference" not in row.details
        assert "no_steady_state" not in row.flags


@pytest.mark.parametrize("fails", [0, 3])
def test_one_that_fails_in_a_turn_is_recorded_and_the_other_is_measured_alone(fails: int) -> None:
    calls: list[str] = []
    one, other = Measurement(calls), Measurement(calls, fails)
    measure_in_turns(sides(one, other), 0.1)
    assert other.failed == [("b/b1/c1", "it raised")]
    assert one.alone == ["a/b1/c1"]
    assert not one.results
    assert not other.results
