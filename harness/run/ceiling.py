"""Which ceilings of the load generator are known in a run, which must be measured, and how a wire
client that comes near to its own gets more processes.

A ceiling is what the generator reaches against a null server: `client_near_ceiling` compares a
point's rate with it. Measuring one takes half a second, so it is done only for points whose rate
is not far below what is known already: with more requests open the generator is not slower. Other
work on the machine can only lower a ceiling, so one that a point comes near to is measured again
before it is believed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from harness.errors import HarnessError
from harness.measure.validity import BUSY_PERCENT, CEILING_SHARE
from harness.results.rows import CeilingRow, MeasurementRow
from harness.run.worker.messages import CeilingMeasured
from harness.scenario.points import Point
from harness.scenario.spec.backend import AnyBackend
from harness.system.machine import cpu_quota
from harness.triton.client.settings import TritonSettings

FAR_BELOW = CEILING_SHARE / 2
"""Below this share of a ceiling with fewer requests open, the own one need not be measured."""
OPEN_LOOP_SLOTS = 32
"""An open loop may have hundreds of requests open; so many reach the generator's limit."""
TRIES = 3
"""How often a ceiling is measured at most before a point is flagged by it."""


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


LIMITED = ("client_near_ceiling", "client_busy", "littles_law")
"""Flags of a client that more processes relieve; of one that is late, where its core is full."""
LATE = ("client_late", "client_not_sending")


def spread(spec: AnyBackend, done: Iterable[Mapping[str, object]]) -> int | None:
    """Over how many processes a wire client begins: as its scenario says, or as many as it has
    needed before by the details of its rows. None for other backends and clients.
    """
    if not isinstance(spec, TritonSettings) or spec.client != "wire":
        return None
    found = (details.get("client_processes") for details in done)
    return max((n for n in found if isinstance(n, int)), default=spec.client_processes)


def limit(row: MeasurementRow) -> str | None:
    """The flag that says that the client was what limited a measurement; None where it was not."""
    full = (row.client_cpu_percent or 0.0) > BUSY_PERCENT
    return next((f for f in (*LIMITED, *(LATE if full else ())) if f in row.flags), None)


def more(row: MeasurementRow, processes: int, spare: float) -> int:
    """How many processes such a client gets: twice as many, or what its ceiling asks for.

    At most one a core that is `spare`, and one a caller; `processes` where that is no more.
    """
    window_s = (row.window_end_ns - row.window_begin_ns) / 1e9
    share = row.requests / window_s / row.details.get("ceiling", math.inf)
    needed = max(2 * processes, math.ceil(processes * share / CEILING_SHARE))
    return max(processes, min(needed, row.concurrency or needed, int(spare)))


def spare_cores(used: float) -> float:
    """What is left of the CPUs that this process may use, where the server needs `used` of them."""
    quota = cpu_quota()
    cpus = len(os.sched_getaffinity(0))
    return (cpus if quota is None else min(cpus, quota[1])) - used


def with_advice(spec: AnyBackend, row: MeasurementRow) -> MeasurementRow:
    """The row of a client that limits and is spread as far as it can be: what its user can do."""
    flag = limit(row)
    if flag is None or not isinstance(spec, TritonSettings):
        return row
    text = "`client: wire` takes less time a request, and is spread over the spare cores"
    if spec.client == "wire":
        text = (
            f"{row.details.get('client_processes')} generator process(es), and no core or caller "
            "is left for another: give the run more CPUs, send the load from another machine "
            "(`server: {url: …}`), or ask for more at once (concurrency)"
        )
    seen = row.details["findings"]
    advised = {**seen, flag: "; ".join(filter(None, (seen.get(flag), text)))}
    return replace(row, details={**row.details, "findings": advised})


def wanted(
    spec: AnyBackend, point: Point, input_bytes: int, processes: int
) -> tuple[Kind, int] | None:
    """The kind of a point's ceiling and how many requests are open.

    None for other backends, and over TLS, which the null server does not speak.
    """
    if not isinstance(spec, TritonSettings) or spec.server.tls is not None:
        return None
    slots = point.concurrency or OPEN_LOOP_SLOTS
    kind = Kind(
        spec.protocol, spec.client, processes, spec.io, point.batch_size, input_bytes.bit_length()
    )
    return kind, slots


def measure(
    ask: Callable[[int], CeilingMeasured], kind: Kind, slots: int, input_bytes: int, tries: int
) -> CeilingRow:
    """Measure it, the `tries`-th time; a problem goes into the row, for no point may fail.

    `ask` says what the model's latest load reaches with so many requests open, or raises.
    """

    def row(rate: float | None, response: int = 0, problem: str = "") -> CeilingRow:
        return CeilingRow(
            kind.protocol, kind.client, kind.processes, kind.io, kind.batch_size, slots,
            input_bytes, rate, response, problem, tries,
        )  # fmt: skip

    try:
        found = ask(slots)
    except HarnessError as error:
        return replace(row(None, problem=error.message), tries=TRIES)
    return row(found.requests_per_s, found.response_bytes)
