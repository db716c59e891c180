"""From what the tenants of a cell did to its rows: one a tenant, and one of all together.

A tenant's row is made and judged as that of a co-located model: by the same code, over the window
of all. The row of all has the requests of all, so that its percentiles are those of whoever sends
to any of them, and its throughput and energy those of the device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.measure.gpu_gates import joules_per_inference
from harness.measure.validity import INVALIDATES
from harness.measure.window import Window
from harness.results.details import MeasurementDetails
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples
from harness.results.series import Readings
from harness.run.point_row import Conditions, measurement_row
from harness.run.session.session import Session
from harness.run.worker.messages import PointMeasured
from harness.scenario.points import Point
from harness.scenario.variants import DEFAULT_CONFIG
from harness.tenants.design import Cell, Seat

WRONG_FLAG = {"skip": "wrong_outputs", "measure": "parity"}


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of one cell in one round."""

    cell: Cell
    round: int
    started: str
    answers: Sequence[PointMeasured]
    samples: Sequence[Samples]
    """Of each seat, as the answers."""
    readings: Readings
    """Of all processes together."""
    problem: str = ""
    """Why readings are missing."""

    @property
    def window(self) -> Window:
        """Of the first tenant, and so of all."""
        return self.answers[0].window


def cell_rows(
    taken: Taken, sessions: Mapping[str, Session], paths: Sequence[str]
) -> list[MeasurementRow]:
    """The row of all, then of a cell with several tenants one each; `paths` are the samples'."""
    cell = taken.cell
    each = [
        _tenant_row(taken, index, sessions[seat.name], path)
        for index, (seat, path) in enumerate(zip(cell.seats, paths, strict=True))
    ]
    if len(each) == 1:
        return each
    throughput = sum(row.throughput for row in each)
    conditions = Conditions(remote=False, no_telemetry=taken.problem)
    whole = _row(taken, cell_point(cell), merged(taken.samples), "", conditions)
    flags = [flag for row in each for flag in row.flags if flag in INVALIDATES]
    whole = replace(
        whole, throughput=throughput, flags=tuple(dict.fromkeys([*whole.flags, *flags]))
    )
    return [_with_energy(whole, throughput), *(_with_energy(row, throughput) for row in each)]


def _tenant_row(taken: Taken, index: int, session: Session, path: str) -> MeasurementRow:
    seat, answer, model = taken.cell.seats[index], taken.answers[index], session.measured
    conditions = Conditions(
        session.remote, model.flags, None, answer.outputs_checked, answer.outputs_wrong,
        WRONG_FLAG[model.rule.on_mismatch], answer.metrics, answer.traces, answer.window,
        taken.problem, less_launching=model.spec.less_launching,
    )  # fmt: skip
    return _row(taken, _point_of(taken.cell, seat), taken.samples[index], path, conditions)


def _row(
    taken: Taken, point: Point, samples: Samples, path: str, conditions: Conditions
) -> MeasurementRow:
    return measurement_row(
        point, taken.round, taken.started, taken.window, samples, taken.readings, path, conditions
    )


def _with_energy(row: MeasurementRow, throughput: float) -> MeasurementRow:
    """The device's energy is shared out by all inferences, whosever they are."""
    seconds = (row.window_end_ns - row.window_begin_ns) / 1e9
    each = joules_per_inference(row.gpu_energy_j, throughput, seconds)
    if each is None:
        return row
    details: MeasurementDetails = {**row.details, "joules_per_inference": each}
    return replace(row, details=details)


@dataclass(frozen=True, slots=True)
class CellPoint(Point):
    """A cell, or a tenant in it, as a point of a name of its own."""

    name: str = ""

    @property
    def id(self) -> str:
        """As the design calls it."""
        return self.name


def _point_of(cell: Cell, seat: Seat) -> Point:
    load = seat.load
    return CellPoint(
        seat.name, DEFAULT_CONFIG, load.batch_size, load.concurrency, load.request_rate,
        name=cell.of(seat),
    )  # fmt: skip


def cell_point(cell: Cell) -> Point:
    """All tenants as one: closed where all are, with the callers of all."""
    loads = [seat.load for seat in cell.seats]
    callers = [load.concurrency for load in loads if load.concurrency is not None]
    closed = len(callers) == len(loads)
    rates = [load.request_rate or 0.0 for load in loads]
    return CellPoint(
        "+".join(seat.name for seat in cell.seats), DEFAULT_CONFIG,
        max(load.batch_size for load in loads), sum(callers) if closed else None,
        None if closed else sum(rates), name=cell.id,
    )  # fmt: skip


def merged(parts: Sequence[Samples]) -> Samples:
    """The requests of several generators as of one, in order of completion."""
    order = np.argsort(np.concatenate([part.done for part in parts]), kind="stable")
    first = np.cumsum([0, *(int(p.caller.max()) + 1 if len(p) else 0 for p in parts)])
    callers = [p.caller.astype(np.int64) + n for p, n in zip(parts, first, strict=False)]
    messages: dict[str, int] = {}
    for part in parts:
        for text, count in part.messages.items():
            messages[text] = messages.get(text, 0) + count

    def of(name: str) -> np.ndarray:
        return np.asarray(np.concatenate([getattr(part, name) for part in parts])[order])

    return Samples(
        of("scheduled"), of("sent"), of("done"), of("status"),
        np.concatenate(callers)[order].astype(np.uint16), messages,
    )  # fmt: skip
