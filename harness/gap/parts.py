"""The waterfall from a model in process to what the client of a server sees.

Rows in, rows out. In each round both backends were measured under the same load, so every part is
taken within a round, and its interval is the t-interval of the rounds' values (arithmetic: parts
add up). Nothing is scaled or cut: what the parts leave of the latency is a part of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.intervals import Interval, t_quantile
from harness.analysis.speedup import cell
from harness.analysis.summary import SummaryRow
from harness.results.rows import CeilingRow, MeasurementRow

PARTS = {
    "compute": "Compute, server against in process",
    "input": "Input copies",
    "output": "Output copies",
    "queue": "Queue",
    "framing": "Serialisation and framing",
    "wire": "Wire",
    "outside": "Unexplained: framing and wire, not told apart",
    "client": "Client",
    "unexplained": "Unexplained",
}
"""The steps from one end to the other, in order."""
METHODS = {
    "compute": "the server's statistics, less the in-process latency of the same round",
    "input": "the server's statistics",
    "output": "the server's trace, until the answer is complete",
    "queue": "the server's statistics",
    "framing": "the server's trace: reading and parsing the request, making the answer",
    "wire": "the client's moments and the server's trace, laid over each other",
    "outside": "what the server's statistics and the client's moments leave: no `trace`",
    "client": "the client's own moments",
    "unexplained": "end to end less all of these",
}
_UNTRACED = {
    "output": "the server's statistics, which go on after the answer has left",
    "wire": "the client's moments and the server's trace; the client library's work is in it",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One step of the waterfall, in ms over rounds; it may be negative."""

    name: str
    """Of `PARTS`."""
    ms: Interval
    method: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A native point and a served one under the same load."""

    native: SummaryRow
    served: SummaryRow
    in_process: Interval
    """Mean latency in ms, as are all figures here."""
    end_to_end: Interval
    parts: tuple[Part, ...]
    rounds: int
    traced: int
    """Requests of all rounds that the server traced; 0: framing and wire are one."""
    floor_ms: float | None = None
    """A round trip to a null server with the same bytes, one at a time: the client, the wire and
    no serving; None where it was not measured."""

    @property
    def ms(self) -> float:
        """How much longer a request takes on the server."""
        return self.end_to_end.value - self.in_process.value

    def part(self, *names: str) -> float:
        """What the parts of these names take together; 0 where there are none."""
        return math.fsum(p.ms.value for p in self.parts if p.name in names)


def t_interval(values: Sequence[float]) -> Interval:
    """Mean with its 95 % t-interval; none with one value, or beyond floats."""
    n, found = len(values), np.asarray(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged journal has 1e300
        mean = float(found.mean())
        deviation = float(found.std(ddof=1)) if n > 1 else math.nan
    if not math.isfinite(deviation):
        return Interval(mean, None, None, n)
    half = t_quantile(0.975, n - 1) * deviation / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def in_both(a: SummaryRow, b: SummaryRow) -> list[tuple[MeasurementRow, MeasurementRow]]:
    """The rounds that count of both points."""
    others = {row.round: row for row in b.measurements}
    return [(row, others[row.round]) for row in a.measurements if row.round in others]


def gaps(
    rows: Iterable[SummaryRow], native: str, served: Mapping[str, object],
    ceilings: Iterable[CeilingRow] = (),
) -> list[Gap]:  # fmt: skip
    """The gap at each load that both backends were measured under, of each config.

    `native` is a backend's name, `served` the other's entry in the scenario.
    """
    rows = list(rows)
    floors = [c for c in ceilings if all(
        getattr(c, key) == served.get(key) for key in ("protocol", "client", "io")
    )]  # fmt: skip
    found = (
        _gap(a, b, floors) for a in rows if a.backend == native
        for b in rows if b.backend == served.get("name") and cell(a) == cell(b)
    )  # fmt: skip
    return sorted((g for g in found if g is not None), key=lambda g: cell(g.served))


def _gap(native: SummaryRow, served: SummaryRow, ceilings: Sequence[CeilingRow]) -> Gap | None:
    """None where a round of both is missing, or the server has no statistics."""
    both = [
        (a.latency_mean_ms, b) for a, b in in_both(native, served)
        if a.latency_mean_ms is not None and math.isfinite(a.latency_mean_ms)
        and b.latency_mean_ms is not None and math.isfinite(b.latency_mean_ms) and b.server_us
    ]  # fmt: skip
    if not both:
        return None
    paths = [row.details.get("path", {}) for _, row in both]
    traced = all(path.get("traced") for path in paths)  # else a part would be known in some only
    rounds = [round_parts(row, base, traced=traced) for base, row in both]
    library = not all("sending" in path for path in paths)
    return Gap(
        native, served, t_interval([base for base, _ in both]),
        t_interval([row.latency_mean_ms or 0.0 for _, row in both]),
        tuple(
            Part(name, t_interval([parts.get(name, 0.0) for parts in rounds]),
                 _method(name, traced=traced, library=library))
            for name in PARTS if name in rounds[0]
        ),
        len(rounds), int(sum(path["traced"] for path in paths)) if traced else 0,
        _floor(both[0][1], ceilings),
    )  # fmt: skip


def _method(name: str, *, traced: bool, library: bool) -> str:
    other = (name == "output" and not traced) or (name == "wire" and library)
    return _UNTRACED[name] if other else METHODS[name]


def round_parts(
    row: MeasurementRow, in_process_ms: float, *, traced: bool = True
) -> dict[str, float]:
    """Each part of a row that has the server's statistics, in ms."""
    server, path = row.server_us, row.details.get("path", {})
    found = {
        "compute": server["compute_infer"] - 1e3 * in_process_ms,
        "input": server["compute_input"], "queue": server["queue"],
    }  # fmt: skip
    if "sending" in path:
        found["client"] = path["late"] + path["sending"] + path["receiving"]
    if traced:
        found["output"] = path["output"]
        found["framing"] = path["receive"] + path["parse"] + path["answer"]
        found["wire"] = path["wire_out"] + path["wire_in"]
    else:
        found["output"] = server["compute_output"]
    ms = {name: us / 1e3 for name, us in found.items()}
    rest = (row.latency_mean_ms or 0.0) - in_process_ms - math.fsum(ms.values())
    return {**ms, ("unexplained" if "wire" in ms else "outside"): rest}


def _floor(row: MeasurementRow, ceilings: Sequence[CeilingRow]) -> float | None:
    """By the fastest null-server measurement of such requests, one open at a time."""
    rates = [
        c.requests_per_s for c in ceilings
        if c.requests_per_s and c.concurrency == row.concurrency == 1
        and c.batch_size == row.batch_size
    ]  # fmt: skip
    return 1e3 / max(rates) if rates else None


def pairs_of(backends: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """The native and served backends of a scenario that are worth a waterfall: each served one
    against the in-process backend that runs what it serves, or else the first one.
    """
    native = [b for b in backends if b.get("kind") not in ("triton", "fake", None)]
    for backend in backends:
        if backend.get("kind") == "triton" and native:
            like = [b for b in native if b.get("kind") == backend.get("serve")
                    and b.get("precision") == backend.get("precision")]  # fmt: skip
            yield str([*like, *native][0].get("name")), str(backend.get("name"))
