"""Which ceilings of the load generator are known in a run, and which must be measured.

A ceiling is what the generator reaches against a null server: `client_near_ceiling` compares a
point's rate with it. Measuring one takes half a second, so it is done only for points whose rate
is not far below what is known already: with more requests open the generator is not slower. Other
work on the machine can only lower a ceiling, so one that a point comes near to is measured again
before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from harness.errors import HarnessError
from harness.measure.validity import CEILING_SHARE
from harness.results.rows import CeilingRow
from harness.run.worker.messages import CeilingMeasured
from harness.scenario.points import Point
from harness.scenario.spec.backend import AnyBackend
from harness.triton.client.settings import TritonSettings

FAR_BELOW = CEILING_SHARE / 2
"""Below this share of a ceiling with fewer requests open, the own one need not be measured."""
OPEN_LOOP_SLOTS = 32
"""An open loop may have hundreds of requests open; so many reach the generator's limit."""
TRIES = 3
"""How often a ceiling is measured at most before a point is flagged by it."""


class Asks(Protocol):
    """A model that can measure a ceiling with the requests of its latest load."""

    def ceiling(self, slots: int) -> CeilingMeasured:
        """What it reaches with so many requests open. Raises HarnessError."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What a ceiling depends on, but for the number of requests that are open."""

    protocol: str
    client: str
    processes: int
    io: str
    batch_size: int
    size_class: int
    """Bits of the number of input bytes: requests within a factor of two are alike."""

    @classmethod
    def of(cls, row: CeilingRow) -> Kind:
        """The kind that a row was measured for."""
        size = row.input_bytes.bit_length()
        return cls(row.protocol, row.client, row.processes, row.io, row.batch_size, size)


class Ceilings:
    """A run's ceilings, from its journal and as they are measured."""

    def __init__(self, rows: Iterable[CeilingRow] = ()) -> None:
        self._rows: dict[Kind, dict[int, CeilingRow]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: CeilingRow) -> None:
        """Know one more; of several for the same load the highest counts."""
        rows = self._rows.setdefault(Kind.of(row), {})
        before = rows.get(row.concurrency)
        tries = row.tries
        if before is not None and _rate(before) > _rate(row):
            row = before
        rows[row.concurrency] = replace(row, tries=tries)

    def tries(self, kind: Kind, slots: int) -> int:
        """How often this ceiling has been measured."""
        row = self._rows.get(kind, {}).get(slots)
        return row.tries if row else 0

    def known(self, kind: Kind, slots: int, rate: float) -> float | None:
        """The ceiling to judge `rate` by, both in requests a second; None: measure one.

        0 where it has been tried and can't be measured.
        """
        found = self._rows.get(kind, {})
        highest = max((_rate(r) for count, r in found.items() if count <= slots), default=0.0)
        if rate < FAR_BELOW * highest:
            return highest
        if slots in found and (rate <= CEILING_SHARE * highest or found[slots].tries >= TRIES):
            return highest
        return None


def _rate(row: CeilingRow) -> float:
    return row.requests_per_s or 0.0


def wanted(spec: AnyBackend, point: Point, input_bytes: int) -> tuple[Kind, int] | None:
    """The kind of a point's ceiling and how many requests are open.

    None for other backends, and over TLS, which the null server does not speak.
    """
    if not isinstance(spec, TritonSettings) or spec.server.tls is not None:
        return None
    slots = point.concurrency or OPEN_LOOP_SLOTS
    kind = Kind(
        spec.protocol, spec.client, spec.client_processes, spec.io, point.batch_size,
        input_bytes.bit_length(),
    )  # fmt: skip
    return kind, slots


def measure(model: Asks, kind: Kind, slots: int, input_bytes: int, tries: int) -> CeilingRow:
    """Measure it, the `tries`-th time; a problem goes into the row, for no point may fail."""

    def row(rate: float | None, response: int = 0, problem: str = "") -> CeilingRow:
        return CeilingRow(
            kind.protocol, kind.client, kind.processes, kind.io, kind.batch_size, slots,
            input_bytes, rate, response, problem, tries,
        )  # fmt: skip

    try:
        found = model.ceiling(slots)
    except HarnessError as error:
        return replace(row(None, problem=error.message), tries=TRIES)
    return row(found.requests_per_s, found.response_bytes)
