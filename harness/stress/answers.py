"""What a stress run says: phases, saturation, recovery, queue, errors; each with its sentence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.report.model.numbers import significant
from harness.results.samples import OK, UNFINISHED
from harness.scenario.wording import counted
from harness.stress import fairness as fair
from harness.stress import timeline as tl
from harness.stress.store import StressRun
from harness.swarm import shapes
from harness.swarm.settings import StressRamp, StressTrace, Wave
from harness.swarm.shapes import Phase

BINS = 20
"""Stretches into which a ramp is cut to see where it saturates."""
LATE_SHARE, LATE_MS = 0.1, 1.0
"""The client is late where, with users to spare, p99 of sent − due exceeds both: of p50, and ms."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Everything that is read off a run."""

    requests: int
    failures: int
    error_rate: float
    """Of the due requests, those that failed, came too late, were shed or never sent."""
    p50_ms: float | None
    p99_ms: float | None
    goodput: float
    """Requests answered a second, over the whole."""
    phases: list[tl.PhaseResult]
    saturation: tl.Saturation | None
    recoveries: list[tl.Recovery]
    errors: list[tl.ErrorKind]
    lost: int
    """Requests whose fate is not known: due at a worker that was lost, after its last report."""
    slip_p99_ms: float | None
    """Of the requests of an open loop that found a user: how late the client itself was."""
    fairness: list[fair.Fairness] = field(default_factory=list)
    """Between the models of the server, by phase; empty where no other is loaded beside."""
    flags: list[str] = field(default_factory=list)
    """What a reader should know before trusting a number."""
    most_ms: float | None = None
    """What 99 of 100 of these very requests took at most, however few they are."""


def answer(run: StressRun) -> Answers:
    """Everything at once; works on a run that was cut short too."""
    outcome, stress = run.outcome, run.stress
    shape = stress.shape.chosen
    line = tl.Timeline.of(run.merged, outcome.start_ns)
    until = outcome.seconds or (float(line.done.max()) if len(line) else 0.0)
    line = line.cut(until)
    phases = tl.phase_results(line, shapes.phases(shape), until)
    everything = slice(0, len(line))
    failures = int((~line.ok).sum())
    by_rate = shapes.by_rate(shape)
    lost = lost_requests(run)
    slip = _slip(run, line) if by_rate else None
    p = tl.known(line.latency_ms, line.ok)
    found = Answers(
        len(line), failures, failures / len(line) if len(line) else 0.0, p["p50"], p["p99"],
        float((line.ok & (line.done <= until)).sum()) / until if until else 0.0, phases,
        tl.saturation(_rising(run, line, until), by_rate), list(recoveries(run, line, until)),
        tl.error_kinds(line, run.merged.kinds), lost, slip, fair.fairness(run, until),
        most_ms=line.quantile(everything, 0.99),
    )  # fmt: skip
    found.flags.extend(_flags(run, found))
    return found


def _slip(run: StressRun, line: tl.Timeline) -> float | None:
    """p99 of sent − due of requests that were answered while users were idle all the time."""
    if not len(line):
        return None
    order = np.argsort(line.done)
    over = np.searchsorted(line.done[order], line.due)
    busy = np.arange(len(line)) - over
    free = (busy < run.stress.max_outstanding) & line.ok
    return float(np.quantile(line.slip_ms[free], 0.99)) if free.any() else None


def _rising(run: StressRun, line: tl.Timeline, until: float) -> list[tl.PhaseResult]:
    """Stretches of a shape whose level only rises; none for others."""
    shape = run.stress.shape.chosen
    found = shapes.phases(shape)
    if isinstance(shape, StressRamp):
        ends = np.linspace(0.0, shape.duration, BINS + 1).tolist()
        found = tuple(
            Phase("", a, b, shapes.level(shape, a), shapes.level(shape, b))
            for a, b in itertools.pairwise(ends)
        )
    elif isinstance(shape, (Wave, StressTrace)):
        return []
    rises = all(a.last < b.last for a, b in itertools.pairwise(found))
    return tl.phase_results(line, found, until) if rises else []


def recoveries(run: StressRun, line: tl.Timeline, until: float) -> Iterator[tl.Recovery]:
    """After a spike, and after each fault that was done; counted to the next of them."""
    phases = shapes.phases(run.stress.shape.chosen)
    events = [(f["kind"], float(f["begin"]), float(f["end"])) for f in run.outcome.faults]
    events += [("spike", p.end, p.end) for p in phases if p.name == "spike"]
    events.sort(key=lambda e: e[1])
    starts = [t for _, t, _ in events] + [p.begin for p in phases if p.name == "spike"]
    calm = (0.0, min(starts, default=until))
    for name, since, undone in events:
        over = min([*(t for t in starts if t > since), until])
        found = tl.recovery(line, name, since, calm, over, undone) if since < until else None
        if found is not None:
            yield found


def lost_requests(run: StressRun) -> int:
    """Due requests of lost workers that no record tells of; 0 where that can't be counted."""
    outcome = run.outcome
    if not outcome.lost:
        return 0
    due = shapes.schedule(run.stress, run.seed)
    total = 0
    for worker in outcome.lost:
        number, until = int(worker["worker"]), outcome.seconds * 1e9
        mine = shapes.part(due, number, outcome.workers)
        known = int(np.count_nonzero(run.samples.caller == number))
        total += max(0, int(np.count_nonzero(mine <= until)) - known)
    return total


def _flags(run: StressRun, found: Answers) -> Iterator[str]:
    if bad := next((p for p in run.outcome.parity if p.status == "disagrees"), None):
        yield f"outputs disagree with the reference, by the scenario's leave: {bad.message}"
    for worker in run.outcome.lost:
        yield (f"worker {worker['worker']} was lost {worker['at']:.1f} s after the load began; "
               f"its part of the load was not made from then on")  # fmt: skip
    if found.lost:
        yield f"{found.lost:,} requests were due at lost workers and count nowhere"
    slip, p50 = found.slip_p99_ms, found.p50_ms
    if slip is not None and p50 is not None and slip > max(LATE_MS, LATE_SHARE * p50):
        yield (f"the client was late: 1 in 100 requests left {slip:,.1f} ms or more after it was "
               "due, with users to spare; use more --workers")  # fmt: skip
    never = int(np.count_nonzero(run.samples.status == UNFINISHED))
    if never:
        yield (f"{never:,} requests were due and never sent: all "
               f"{run.stress.max_outstanding} users were busy to the end")  # fmt: skip
    if not np.any(run.samples.status == OK):
        yield "not one request was answered"


# ----------------------------------------------------------------------------------------- words


def ms_text(value: float | None) -> str:
    """A latency in words."""
    if value is None:
        return "n/a"
    return f"{significant(value)} ms" if math.isfinite(value) else "no answer"


PHASE_COLUMNS: dict[str, Callable[[tl.PhaseResult], str]] = {
    "seconds": lambda p: f"{p.begin:.0f}–{p.end:.0f}", "requests": lambda p: f"{p.requests:,}",
    "offered/s": lambda p: f"{p.offered:,.1f}", "answered/s": lambda p: f"{p.goodput:,.1f}",
    "failed": lambda p: f"{p.error_rate:.2%}", "p50": lambda p: ms_text(p.p50_ms),
    "p99": lambda p: ms_text(p.p99_ms), "open": lambda p: f"{p.open_begin:,} → {p.open_end:,}",
}  # fmt: skip
"""What is said of a phase beside its name, by title."""


def sentences(run: StressRun, found: Answers) -> list[str]:
    """The answers in words, the weightiest first."""
    text = [
        f"{counted(found.requests, 'request')} in {run.outcome.seconds:.0f} s: "
        f"{found.goodput:,.1f} answered a second, {found.error_rate:.2%} failed, "
        f"p50 {ms_text(found.p50_ms)}, p99 {ms_text(found.p99_ms)}."
    ]
    text += [recovery_text(r) for r in found.recoveries]
    if found.saturation is not None:
        text.append(saturation_text(found.saturation))
    text += list(_queue_text(found.phases))
    text += fair.sentences(found.fairness)
    for kind in found.errors[:3]:
        first, last = f"{kind.first:.1f} s", f"{kind.last:.1f} s"
        when = f"at {first}" if first == last else f"between {first} and {last}"
        text.append(f"{kind.count:,} × “{kind.kind}”, {when}.")
    return text


NAMES = {
    "kill": "the server was killed", "pause": "the server was stopped",
    "unload": "the model was unloaded", "network": "the network was slowed down",
    "spike": "the end of the spike",
}  # fmt: skip


def recovery_text(found: tl.Recovery) -> str:
    """How long it took, and what clients saw."""
    what = NAMES[found.after]
    when = f"After {what} ({found.since:.1f} s)"
    saw = f"clients saw {counted(found.failed, 'failure')} and {counted(found.slow, 'slow answer')}"
    if found.seconds is None:
        return f"{when} requests were not answered as before within the run; {saw}."
    if found.seconds == 0.0:
        return f"{when} requests were answered as before at once; {saw}."
    gone = f", the failures within {found.outage:.1f} s" if found.failed else ""
    return f"{when} it took {found.seconds:.1f} s until requests were answered as before; " \
           f"{saw}{gone}."  # fmt: skip


def saturation_text(found: tl.Saturation) -> str:
    """Where goodput stops rising."""
    unit = "requests a second" if found.by_rate else "users"
    most = f"{found.goodput:,.1f} answered a second at most"
    if found.level is None:
        return f"It did not saturate within the levels that were asked: {most}."
    return f"It saturates at about {significant(found.level)} {unit}: {most}."


def _queue_text(phases: Sequence[tl.PhaseResult]) -> Iterator[str]:
    """Phases in which open requests piled up: by more than chance, and by half of them."""
    for p in phases:
        grown = p.open_end - p.open_begin
        if grown > max(10.0, 3 * math.sqrt(p.open_begin + 1.0), p.open_begin / 2):
            rate = grown / (p.end - p.begin)
            yield (f"In {p.name} open requests grew from {p.open_begin:,} to {p.open_end:,}, "
                   f"{rate:,.1f} a second.")  # fmt: skip
