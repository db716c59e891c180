"""The requests of a run on one time axis, and what is read off it: phases, recovery, open requests.

Seconds count from when the load began. A request belongs to the moment when it was due; in a
closed loop that is when it was sent. Its latency is done − due, so that what waited in the client
because the server was slow counts too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from harness.measure.quantiles import percentile, percentiles
from harness.results.samples import OK, SHED
from harness.swarm.recorder import Merged
from harness.swarm.shapes import Phase

Floats = NDArray[np.float64]
FINE_OF = 20
"""So many requests in a row, of which `FINE` must be as before, make a service that recovered."""
FINE = 19
SLOWER = 2.0
"""As before: answered, and within so many times the p99 that held before."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Arrays of shape (requests,), in the order in which they were due."""

    due: Floats
    done: Floats
    latency_ms: Floats
    ok: NDArray[np.bool_]
    shed: NDArray[np.bool_]
    kind: NDArray[np.uint16]
    slip_ms: Floats
    """From due to sent: the client's own lateness, or the wait for one of its users."""

    @classmethod
    def of(cls, merged: Merged, start_ns: int) -> Self:
        """From the records; `start_ns` is when the load began."""
        s = merged.samples
        order = np.argsort(s.scheduled, kind="stable")
        due, done = s.scheduled[order], s.done[order]
        return cls(
            (due - start_ns) / 1e9, (done - start_ns) / 1e9, (done - due) / 1e6,
            s.status[order] == OK, s.status[order] == SHED, merged.kind[order],
            (s.sent[order] - due) / 1e6,
        )  # fmt: skip

    def cut(self, end: float) -> Self:
        """The requests that were due from the load's begin to `end`: what users send while they
        are started before it, and stopped after it, is not of the load.
        """
        part = self.within(0.0, end)
        return replace(self, **{f.name: getattr(self, f.name)[part] for f in fields(self)})

    def __len__(self) -> int:
        return len(self.due)

    def within(self, begin: float, end: float) -> slice:
        """The requests that were due in [begin, end)."""
        first, last = np.searchsorted(self.due, [begin, end])
        return slice(int(first), int(last))

    def quantile(self, part: slice, q: float) -> float | None:
        """Exact, failures as +∞; None without requests."""
        return quantile(self.latency_ms[part], self.ok[part], q)


def quantile(latency_ms: Floats, ok: NDArray[np.bool_], q: float) -> float | None:
    """Nearest rank in ms; `inf` where it falls among the failures, None without requests."""
    if not len(ok):
        return None
    ordered = np.sort(np.round(latency_ms[ok] * 1e6).astype(np.int64))
    return percentile(ordered, int(len(ok) - ok.sum()), q) / 1e6


def known(latency_ms: Floats, ok: NDArray[np.bool_]) -> dict[str, float | None]:
    """Every percentile in ms by the rule of a run's rows: None of too few requests for it."""
    return percentiles(np.round(np.where(ok, latency_ms, 0) * 1e6).astype(np.int64), ~ok)


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What happened in a phase; rates in requests a second, latencies in ms."""

    name: str
    begin: float
    end: float
    level: float
    """As the shape has it: the mean of its ends."""
    requests: int
    offered: float
    goodput: float
    """Requests answered in the phase, whenever they were due."""
    error_rate: float
    shed: int
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    open_begin: int
    open_end: int
    """Requests that were due and not over."""
    most_ms: float | None = None
    """What 99 of 100 of these very requests took at most, however few they are."""


def phase_results(line: Timeline, phases: Sequence[Phase], until: float) -> list[PhaseResult]:
    """One row a phase that began, of a load that went on `until` then."""
    found = []
    for phase in phases:
        end = min(phase.end, until)
        if end <= phase.begin:
            continue
        part, long = line.within(phase.begin, end), end - phase.begin
        count, ok = part.stop - part.start, line.ok[part]
        answered = np.count_nonzero((line.done >= phase.begin) & (line.done < end) & line.ok)
        p = known(line.latency_ms[part], ok)
        found.append(PhaseResult(
            phase.name, phase.begin, end, (phase.first + phase.last) / 2, count, count / long,
            float(answered) / long, float(1 - ok.mean()) if count else 0.0,
            int(line.shed[part].sum()), p["p50"], p["p99"], p["p999"],
            open_at(line, phase.begin), open_at(line, end), line.quantile(part, 0.99),
        ))  # fmt: skip
    return found


def open_at(line: Timeline, t: float) -> int:
    """How many requests were due and not over at `t`."""
    return int(np.count_nonzero((line.due <= t) & (line.done > t)))


@dataclass(frozen=True, slots=True)
class Recovery:
    """After a spike or a fault."""

    after: str
    since: float
    seconds: float | None
    """Until requests were answered as before; 0 where they always were, None where not yet."""
    failed: int
    slow: int
    """Of the requests that were due from `since` until then: failures, and answers that were
    slower than `SLOWER` times the p99 before."""
    outage: float
    """Seconds from the first failure to the last one in that time."""


def recovery(
    line: Timeline, after: str, since: float, before: tuple[float, float], until: float,
    undone: float = 0.0,
) -> Recovery | None:  # fmt: skip
    """How long from `since` until at least `FINE` of `FINE_OF` requests in a row are fine.

    Fine is answered within `SLOWER` times the p99 of the requests due in `before`, which is what
    the service did undisturbed. None where nothing was answered before. Requests due after `until`
    do not count: something else happened then. A fault may harm late, as an unloading that waits
    for what runs: what is not fine up to when it was `undone` is its doing, whatever was fine
    before that.
    """
    calm = line.within(*before)
    if not line.ok[calm].any():
        return None
    usual = quantile(line.latency_ms[calm][line.ok[calm]], line.ok[calm][line.ok[calm]], 0.99)
    assert usual is not None
    part = line.within(since, until)
    slow = line.latency_ms[part] > SLOWER * usual
    fine = line.ok[part] & ~slow
    first = _first_run(fine, int(np.searchsorted(line.due[part], undone)))
    stop = len(fine) if first is None else first
    failed = np.flatnonzero(~line.ok[part][:stop])
    due = line.due[part]
    outage = float(due[failed[-1]] - due[failed[0]]) if len(failed) else 0.0
    seconds = None if first is None else 0.0 if first == 0 else float(due[first] - since)
    return Recovery(after, since, seconds, len(failed), int((slow & line.ok[part])[:stop].sum()),
                    outage)  # fmt: skip


def _first_run(fine: NDArray[np.bool_], undone: int) -> int | None:
    """Where the first fine request stands of which `FINE_OF` in a row are fine enough, after the
    last ones before `undone` that were not, or else the first ones.

    0 is where nothing was ever wrong for long: then no request before it was not fine.
    """
    if len(fine) < FINE_OF:
        return None
    sums = np.convolve(fine, np.ones(FINE_OF), "valid")
    bad = np.flatnonzero(sums < FINE)
    if not len(bad):
        return 0
    good = np.flatnonzero((sums >= FINE) & fine[: len(sums)])
    later = good[good > max(bad[bad < undone], default=bad[0])]
    return int(later[0]) if len(later) else None


def seconds_of(line: Timeline, until: float, width: float = 1.0) -> Iterator[tuple[float, slice]]:
    """Equal stretches of the axis: the middle of each, and the requests due in it."""
    for i in range(int(np.ceil(until / width))):
        yield (i + 0.5) * width, line.within(i * width, min((i + 1) * width, until))


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One kind of failure: how often, and between which seconds."""

    kind: str
    count: int
    first: float
    last: float


def error_kinds(line: Timeline, names: Sequence[str]) -> list[ErrorKind]:
    """The kinds, the most frequent first."""
    found = []
    for number in np.unique(line.kind[~line.ok]):
        when = line.done[(line.kind == number) & ~line.ok]
        name = names[number] or "no reason given"
        found.append(ErrorKind(name, len(when), float(when.min()), float(when.max())))
    return sorted(found, key=lambda k: -k.count)


@dataclass(frozen=True, slots=True)
class Saturation:
    """Where goodput stops following the load."""

    level: float | None
    """The first level that was not kept up with; None where every level was."""
    goodput: float
    """The most that was answered, requests a second."""
    by_rate: bool


SHORT = 0.95
"""Goodput below this share of what is offered, by more than `FEW` requests, is not kept up with."""
FEW = 5.0
"""Requests that may be open at the edge of a stretch."""


def saturation(bins: Sequence[PhaseResult], by_rate: bool) -> Saturation | None:
    """From stretches of rising level. None for fewer than three of them.

    A rate saturates where from some stretch on all answer fewer than are offered; users do where
    no later stretch answers 5 % more.
    """
    if len(bins) < 3:
        return None
    best = max(b.goodput for b in bins)
    if not by_rate:
        level = next(b.level for b in bins if b.goodput >= SHORT * best)
        return Saturation(level if level < bins[-1].level else None, best, False)
    level_of: float | None = None
    for b in reversed(bins):
        offered, answered = b.offered * (b.end - b.begin), b.goodput * (b.end - b.begin)
        short = answered < SHORT * offered and answered < offered - FEW
        if not short:
            break
        level_of = b.level
    return Saturation(level_of, best, True)
