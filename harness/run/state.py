"""What a run has so far: each line goes to the journal, and what later steps ask for stays here."""

from __future__ import annotations

import contextlib
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.errors import UnexpectedError
from harness.results import rows
from harness.results.events import Event, JournalLine, MeasuredAgain, Note, Observer, Spent
from harness.results.store import RunData, RunStore
from harness.run.ceiling import Ceilings
from harness.scenario.points import Point
from harness.system.credentials import redact
from harness.system.faults import known


class RunState:
    """Rows of this process and of the interrupted run that it goes on with (`done`)."""

    def __init__(
        self, store: RunStore, observer: Observer, done: RunData | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.store, self._observer, self._check = store, observer, check
        self.fresh = done is None
        self.spent: Callable[[], float] | None = None
        """Seconds that are gone of the budget, where there is one: every line is followed by them,
        so that an interrupted run goes on with what is left."""
        self.rows = list(done.measurements) if done else []
        self.capacities = list(done.capacities) if done else []
        self.measured = {(m.point, m.round) for m in self.rows}
        self.measured |= {(c.point, c.round) for c in self.capacities}
        self.failures: list[rows.FailureRow] = []
        """Of this process: what failed in an interrupted run is tried again."""
        self.given_up: set[str] = set()
        self.stages: Mapping[str, str] = {}
        """Of the points that this round measures in another stage than the first."""
        self.parity: dict[str, list[rows.ParityRow]] = defaultdict(list)
        for row in done.parity if done else []:
            self.parity[row.backend].append(row)
        self.ceilings = Ceilings(done.rows(rows.CeilingRow) if done else ())
        self.empty = {row.backend for row in done.rows(rows.ServerOnlyRow)} if done else set()
        """Backends whose server has been watched without a model."""

    def notify(self, event: Event) -> None:
        """Tell the observer. Raises KeyboardInterrupt when the run is to end, as `add` does."""
        self._check()
        self._observer(event.outward())

    def add(self, line: JournalLine) -> None:
        """Write a journal line and tell the observer."""
        self._check()
        self.store.append(line)
        if self.spent is not None:
            self.store.append(Spent(self.spent()))
        self.notify(line)

    def note(self, text: str) -> None:
        """A line that the report shows among its notes."""
        self.add(Note(text))

    def add_result(self, row: rows.MeasurementRow | rows.CapacityRow) -> None:
        """A point is measured in a round."""
        if isinstance(row, rows.MeasurementRow) and (stage := self.stages.get(row.point)):
            row = replace(row, details={**row.details, "stage": stage})
        self.add(row)
        if isinstance(row, rows.MeasurementRow):
            self.rows.append(row)
        else:
            self.capacities.append(row)
        self.measured.add((row.point, row.round))

    def again(self, found: Sequence[rows.MeasurementRow]) -> list[str]:
        """Measurements are to be made anew in their round, and of what then stands in the journal
        the last line counts; their configs.
        """
        for row in found:
            self.add(MeasuredAgain(row.point, row.round, row.flags))
            self.rows.remove(row)
            self.measured.remove((row.point, row.round))
        return [row.config for row in found]

    def fail(self, point: Point, round_: int, error: Exception, log: str) -> None:
        """A point could not be measured in a round; `log` is given a traceback that helps."""
        why = known(error)
        if not why.retried:
            self.given_up.add(point.id)
        if isinstance(why, UnexpectedError):
            with (
                contextlib.suppress(OSError),  # a full disk: the journal's line says so
                (self.store.path / log).open("a", encoding="utf-8") as file,
            ):
                file.write(redact("".join(traceback.format_exception(error))))
        said = why.reason, why.message, why.fix, log
        row = rows.FailureRow(point.id, round_, point.backend, *said)
        self.failures.append(row)
        self.add(row)

    def missing(self, point: Point, round_: int) -> bool:
        """Whether a point is still to be measured in a round."""
        return (point.id, round_) not in self.measured and point.id not in self.given_up
