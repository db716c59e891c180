"""From what the workers of a session say of a point to its row, its samples and its ceilings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.backends.registry import parse_spec
from harness.errors import BackendError
from harness.load.plan import WindowSettings
from harness.measure.window import Window
from harness.results.events import Discarded, Note
from harness.results.rows import CeilingRow
from harness.results.samples import OK, Samples, read_samples
from harness.results.store import RunStore, read_run
from harness.run import ceiling
from harness.run import point as measuring
from harness.run.point import PointMeasurement
from harness.run.state import RunState
from harness.run.worker.messages import CeilingMeasured, PointMeasured
from harness.scenario.points import Point
from harness.scenario.sizes import Part
from harness.scenario.spec.colocated import ColocatedModel
from harness.scenario.spec.load import Load
from harness.scenario.spec.model import Parity

MS = 1_000_000
POINT = Point("t", "default", 1, concurrency=1)
TRITON: Any = parse_spec({"kind": "triton", "protocol": "http", "name": "t"})
OTHER = ColocatedModel.model_validate({"name": "det", "load": {"batch_size": 4, "concurrency": 1}})
WINDOW = Window(500 * MS, 1500 * MS, False, cpu_seconds=0.1)
STRETCH = Window(0, 2000 * MS, False, cpu_seconds=0.2)
ANSWER = PointMeasured(WINDOW, {"boom": 1}, 1, (), 64, None)


def steady(service_ms: int = 5) -> Samples:
    """One caller, back to back for two seconds."""
    sent = np.arange(2000 // service_ms, dtype=np.int64) * service_ms * MS
    zeros = np.zeros(len(sent), np.uint16)
    return Samples(sent, sent, sent + service_ms * MS, np.full(len(sent), OK, np.uint8), zeros)


def eight_callers() -> Samples:
    """Each of them back to back, 40 ms a request: 200 a second."""
    one = steady(40)
    caller = np.repeat(np.arange(8, dtype=np.uint16), len(one))
    times = (np.tile(column, 8) for column in (one.scheduled, one.sent, one.done))
    order = np.argsort(np.tile(one.done, 8), kind="stable")
    return Samples(*(c[order] for c in (*times, np.tile(one.status, 8), caller)))


class Model:
    """A model of a session; `rates` are what its generator reaches, one after another."""

    def __init__(self, other: ColocatedModel | None = None, *rates: float) -> None:
        self.colocated, self.spec, self.rates = other, TRITON, list(rates)
        self.name = other.name if other else ""
        self.label = f"t+{self.name}" if other else "t"
        self.flags: tuple[str, ...] = ()
        self.processes, self.used = 1, []
        self.samples, self.answer, self.rule = steady(), ANSWER, Parity()

    def ceiling(self, slots: int) -> CeilingMeasured:
        return CeilingMeasured(self.rates.pop(0) if self.rates else 1e6, 9)


class Session:
    """What `PointMeasurement` uses of a session."""

    remote, fails, alive = True, False, True

    def __init__(self, *models: Model) -> None:
        self.models = list(models)
        self.asked: list[tuple[str, bool]] = []

    def settings(self, point: Point, round_: int) -> WindowSettings:
        return WindowSettings(0.1, 1, 1.0, 11, 10.0, 30.0)

    def parts(self, point: Point) -> tuple[Part, ...]:
        return (Part({}),)

    def measure(
        self,
        point: Point,
        round_: int,
        files: dict[str, Path],
        _: Any,
        *,
        settings: WindowSettings,
        again: bool,
    ) -> list[PointMeasured]:
        self.asked.append((point.id, settings.window_requests == 1))
        for model in self.models:
            model.samples.save(files[model.name])
            model.used.append(model.processes)
        if self.fails:
            raise BackendError("it raised")
        return [model.answer for model in self.models]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[RunState]:
    with RunStore.create(tmp_path / "run", {"a": 1}) as store:
        yield RunState(store, lambda _: None)


def measured(session: Any, state: RunState, point: Point = POINT, problem: str = "") -> Any:
    """The row of a point."""
    telemetry: Any = SimpleNamespace(problem=problem, read=dict, clock=None)
    PointMeasurement(session, state, telemetry, 0, "logs/x.log").point(point)
    return state.rows[-1] if state.rows else None


def test_a_point_leaves_its_row_and_its_samples(state: RunState) -> None:
    row = measured(Session(Model()), state)
    assert (row.requests, row.samples) == (200, "samples/t--b1--c1--r0.parquet")
    assert row.details["errors"] == {"boom": 1}
    assert "colocated" not in row.details
    path = state.store.path
    assert len(read_samples(path / row.samples)) == 400
    assert [p.name for p in (path / "samples").iterdir()] == ["t--b1--c1--r0.parquet"]
    assert [m.point for m in read_run(path).measurements] == ["t/b1/c1"]


def test_a_point_says_that_it_lacks_readings_and_why(state: RunState) -> None:
    row = measured(Session(Model(), Model(OTHER)), state, problem="no telemetry: stopped")
    assert row.details["findings"]["no_telemetry"] == "no telemetry: stopped"
    assert "no_telemetry" in row.flags
    assert "no_telemetry" not in row.details["colocated"]["det"]["flags"]


def test_what_ended_when_the_point_was_measured_is_noted(state: RunState) -> None:
    session = Session(Model())
    session.alive = False
    assert measured(session, state).requests == 200
    (note,) = read_run(state.store.path).rows(Note)
    assert note.text == "after t/b1/c1 its server or worker was gone: see logs/x.log"


def test_a_fault_is_recorded_and_leaves_no_samples(state: RunState) -> None:
    session = Session(Model(), Model(OTHER))
    session.fails = True
    assert measured(session, state) is None
    assert [(f.point, f.reason, f.log) for f in state.failures] == [
        ("t/b1/c1", "raised", "logs/x.log")
    ]
    assert list((state.store.path / "samples").iterdir()) == []


def test_a_co_located_model_is_cut_to_the_measured_ones_window(state: RunState) -> None:
    other = Model(OTHER)
    other.answer = replace(ANSWER, window=STRETCH, messages={"late": 2})
    row = measured(Session(Model(), other), state)
    facts = row.details["colocated"]["det"]
    assert facts["throughput"] == pytest.approx(800.0)  # 200 requests of four items in a second
    assert facts["messages"] == {"late": 2}
    assert facts["client_cpu_percent"] == pytest.approx(10.0)
    assert facts["samples"] == "samples/t--b1--c1--r0--colocated-det.parquet"
    assert (state.store.path / facts["samples"]).exists()
    assert row.flags == ("few_requests",)


@pytest.mark.parametrize("whose", ["", "det"])
@pytest.mark.parametrize(
    ("change", "flag"),
    [
        (lambda m: setattr(m, "flags", ("parity",)), "parity"),
        (lambda m: setattr(m, "answer", replace(m.answer, outputs_wrong=("y",))), "wrong_outputs"),
        (lambda m: setattr(m, "rates", [300.0] * 3), "client_near_ceiling"),
        (lambda m: setattr(m, "answer", replace(m.answer, window=replace(
            m.answer.window, cpu_seconds=1.9))), "client_busy"),
        (lambda m: setattr(m, "samples", steady(20)), "few_requests"),
    ],
)  # fmt: skip
def test_both_are_asked_the_same(state: RunState, whose: str, change: Any, flag: str) -> None:
    """What makes a measured model doubtful does so to a co-located one, and by it to the point."""
    models = {"": Model(), "det": Model(OTHER)}
    models["det"].answer = replace(ANSWER, window=STRETCH)
    change(models[whose])
    row = measured(Session(*models.values()), state)
    facts = row.details["colocated"]["det"]
    assert flag in (facts["flags"] if whose else row.flags)
    if whose and flag != "few_requests":
        assert flag not in row.flags
        assert row.details["findings"]["colocated_invalid"].startswith(f"det: {flag}")


def test_a_client_near_its_ceiling_gets_processes_before_the_point_counts(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200/s: with one process it reaches 250/s, with two 300/s, with four 4,000/s."""
    monkeypatch.setattr(ceiling, "spare_cores", lambda used: 8.0 - used)
    reaches = {1: 250.0, 2: 300.0, 4: 4000.0}
    model = Model()
    monkeypatch.setattr(
        model, "ceiling", lambda slots: CeilingMeasured(reaches[model.processes], 9)
    )
    monkeypatch.setattr(model, "samples", eight_callers())
    row = measured(Session(model), state, replace(POINT, concurrency=8))
    assert model.used == [1, 2, 4]
    assert row.details["client_processes"] == 4 and "client_near_ceiling" not in row.flags
    found = read_run(state.store.path)
    assert len(found.measurements) == 1 and len(found.rows(Note)) == 2
    assert "2 generator processes from here on" in found.rows(Note)[0].text
    measured(Session(model), state, replace(POINT, concurrency=8))  # another round begins there
    assert model.used == [1, 2, 4, 4]


class OnceWrong(Session):
    """The first measurement's outputs are wrong, under load, and those of no other."""

    def measure(self, *args: Any, **more: Any) -> list[PointMeasured]:
        (model,) = self.models
        model.answer = replace(ANSWER, outputs_wrong=() if self.asked else ("y: 3",))
        return super().measure(*args, **more)


def test_wrong_outputs_are_not_measured_away(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for a generator that was the limit, nor because others disturbed a search's rate."""
    monkeypatch.setattr(ceiling, "spare_cores", lambda used: 8.0 - used)
    model = Model(None, 250.0, 250.0, 250.0, 4000.0)
    monkeypatch.setattr(model, "samples", eight_callers())
    row = measured(OnceWrong(model), state, replace(POINT, concurrency=8))
    assert {"wrong_outputs", "client_near_ceiling"} <= {*row.flags} and model.used == [1]
    monkeypatch.setattr(measuring, "causes", lambda flags: ["foreign_load"])
    load = Load.model_validate({"find_capacity": {"latency_p50_ms": 100.0, "max_rate": 100.0}})
    telemetry: Any = SimpleNamespace(problem="", read=dict, clock=None)
    session: Any = OnceWrong(Model())
    point = Point("t", "default", 1, shape="find_capacity")
    PointMeasurement(session, state, telemetry, 0, "logs/x.log").capacity(point, load, ())
    assert "wrong_outputs" in state.rows[1].flags


def test_with_no_core_to_spare_the_point_is_flagged_and_says_what_to_do(
    state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ceiling, "spare_cores", lambda used: 1.0 - used)
    model = Model(None, *[250.0] * 3)
    monkeypatch.setattr(model, "samples", eight_callers())
    row = measured(Session(model), state, replace(POINT, concurrency=8))
    assert model.used == [1] and "client_near_ceiling" in row.flags
    assert "give the run more CPUs" in row.details["findings"]["client_near_ceiling"]


def test_each_kind_of_load_has_a_ceiling_of_its_own(state: RunState) -> None:
    other = Model(OTHER, 5000.0)
    row = measured(Session(Model(None, 4000.0), other), state)
    assert row.details["ceiling"] == 4000.0
    assert row.details["colocated"]["det"]["ceiling"] == 5000.0
    rows = read_run(state.store.path).rows(CeilingRow)
    assert [(r.batch_size, r.requests_per_s) for r in rows] == [(1, 4000.0), (4, 5000.0)]


def test_a_search_says_of_its_rates_that_they_are_its_own(state: RunState) -> None:
    load = Load.model_validate({"find_capacity": {"latency_p50_ms": 100.0, "max_rate": 100.0}})
    session: Any = Session(Model())
    telemetry: Any = SimpleNamespace(problem="", read=dict, clock=None)
    point = Point("t", "default", 1, shape="find_capacity")
    planned = {"t/b1/r50"}
    PointMeasurement(session, state, telemetry, 0, "logs/x.log").capacity(point, load, planned)
    (found,) = state.capacities
    assert found.point == "t/b1/find_capacity"
    assert state.rows
    for row in state.rows:
        assert row.details.get("search", "planned") == (
            "planned" if row.point in planned else point.id
        )


@pytest.mark.parametrize(
    ("point", "asked"),
    [
        (Point("t", "default", 4, concurrency=2), "t/b4/c2"),
        (Point("t", "default", 4, request_rate=50.0), "t/b4/c1"),
        (Point("t", "default", 4, shape="find_capacity"), "t/b4/c1"),
    ],
)
def test_what_a_session_opens_with_counts_nowhere(
    state: RunState, point: Point, asked: str
) -> None:
    """It is in the journal as what it is; no row, no samples, and the point stays missing."""
    session: Any = Session(Model(), Model(OTHER))
    telemetry: Any = SimpleNamespace(read=dict, clock=None, problem="")
    assert PointMeasurement(session, state, telemetry, 0, "logs/x.log").discard(point)
    assert session.asked == [(asked, True)]
    data = read_run(state.store.path)
    (line,) = data.rows(Discarded)
    assert (line.point, line.round, line.requests) == (asked, 0, 200)
    assert line.throughput == pytest.approx(800.0)
    assert data.measurements == state.rows == []
    assert state.missing(point, 0)
    assert list((state.store.path / "samples").iterdir()) == []


def test_a_session_that_can_not_even_open_fails_its_first_point(state: RunState) -> None:
    session: Any = Session(Model())
    session.fails = True
    telemetry: Any = SimpleNamespace(read=dict, clock=None, problem="")
    assert not PointMeasurement(session, state, telemetry, 0, "logs/x.log").discard(POINT)
    assert [f.point for f in state.failures] == ["t/b1/c1"]


def test_what_the_scenario_lets_be_measured_is_called_so_under_load_too(state: RunState) -> None:
    model = Model()
    model.answer = replace(ANSWER, outputs_wrong=("y: 3",))
    model.rule = Parity(on_mismatch="measure")
    row = measured(Session(model), state)
    assert "wrong_outputs" not in row.flags
    assert (row.flags[0], row.details["findings"]["parity"]) == ("parity", "y: 3")
