"""Fairness between the models of a server: what each got, phase by phase, and Jain's index of it.

Of a load by rate, what a model got is the share answered of what was asked, at most 1; of users,
the inferences a second for each of them. Jain's index of these x is (Σx)² / (n Σx²): 1 where all
get alike, 1/n where one gets all (Jain, Chiu & Hawe, DEC-TR-301, 1984). Its interval is a
jackknife's over `BLOCKS` equal stretches of the phase, which also takes out the bias by which noise
alone makes the index less than 1; it is widened for the autocorrelation of the pseudo-values, as in
`leak`. benchmarks/stress_fairness.py simulates how often it holds the truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.samples import OK, Samples
from harness.stress.leak import autocorrelation
from harness.stress.store import StressRun
from harness.stress.timeline import known
from harness.swarm import shapes
from harness.swarm.shapes import Phase

Floats = NDArray[np.float64]
BLOCKS = 20
FEWEST = 10
"""Requests of each model in a phase, below which its index says nothing."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """What one model got in a phase; rates in inferences a second."""

    model: str
    offered: float | None
    """None for users, who ask for more whenever they have got something."""
    answered: float
    got: float
    """What the index is made of."""
    share: float
    """Of all inferences of all models."""
    error_rate: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Fairness:
    """Of one phase."""

    phase: str
    shares: list[Share]
    index: float | None
    """None where rates and users stand beside each other, or there were too few requests."""
    low: float = math.nan
    high: float = math.nan
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Demand:
    """A model and its load."""

    name: str
    samples: Samples
    batch: int
    users: float | None
    """None for a load by rate."""


def demands(run: StressRun, phase: Phase) -> list[Demand]:
    """The stressed model with its load in this phase, and those that are co-located."""
    shape, mean = run.stress.shape.chosen, (phase.first + phase.last) / 2
    users = None if shapes.by_rate(shape) else mean
    found = [Demand(run.outcome.served_name, run.samples, run.outcome.batch_size, users)]
    loads = loads_of(run.manifest["scenario"])
    for name, samples in run.colocated.items():
        load = loads.get(name, {})
        count = load.get("concurrency")
        batch = int(str(load.get("batch_size") or 1))
        found.append(Demand(name, samples, batch, None if count is None else float(str(count))))
    return found


def loads_of(scenario: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The load of each co-located model of a scenario in a manifest."""
    backends = scenario.get("backends")
    found: dict[str, Mapping[str, object]] = {}
    for backend in backends if isinstance(backends, (list, tuple)) else ():
        for other in backend.get("colocated") or ():
            found[str(other["name"])] = other["load"]
    return found


def fairness(run: StressRun, until: float) -> list[Fairness]:
    """Of every phase that began before `until`; none where no model is co-located."""
    if not run.colocated:
        return []
    parts = [p for p in shapes.phases(run.stress.shape.chosen) if p.begin < until]
    return [_of_phase(demands(run, p), p.name, p.begin, min(p.end, until), run.outcome.start_ns)
            for p in parts]  # fmt: skip


def _of_phase(
    models: list[Demand], name: str, begin: float, end: float, start_ns: int
) -> Fairness:  # fmt: skip
    """What each got between two moments, in seconds after `start_ns`."""
    edges = start_ns + np.linspace(begin, end, BLOCKS + 1) * 1e9
    asked = np.array([np.histogram(m.samples.scheduled, edges)[0] for m in models], float)
    ok = [m.samples.status == OK for m in models]
    answered = np.array(
        [np.histogram(m.samples.done[k], edges)[0] for m, k in zip(models, ok, strict=True)], float
    )
    seconds, batch = end - begin, np.array([m.batch for m in models], float)
    rates = answered.sum(axis=1) * batch / seconds
    by_rate = [m.users is None for m in models]
    claims = asked if all(by_rate) else np.array(
        [[(m.users or 1.0) / m.batch * seconds / BLOCKS] * BLOCKS for m in models]
    )  # fmt: skip
    got = gained(answered, claims, capped=all(by_rate))
    shares = list(_shares(models, (begin, end), start_ns, rates, got))
    if any(by_rate) and not all(by_rate):
        return Fairness(name, shares, None, why_not="rates and users ask in different ways")
    if (asked.sum(axis=1) < FEWEST).any():
        return Fairness(name, shares, None, why_not="too few requests")
    return Fairness(name, shares, *jackknife(answered, claims, capped=all(by_rate)))


def _shares(
    models: list[Demand], between: tuple[float, float], start_ns: int, rates: Floats, got: Floats
) -> Iterator[Share]:
    total = float(rates.sum()) or 1.0
    for model, rate, gain in zip(models, rates.tolist(), got.tolist(), strict=True):
        s = model.samples
        due = (s.scheduled - start_ns) / 1e9
        mine = (due >= between[0]) & (due < between[1])
        fine, latency = s.status[mine] == OK, (s.done - s.scheduled)[mine] / 1e6
        p = known(latency, fine)
        offered = mine.sum() * model.batch / (between[1] - between[0])
        yield Share(
            model.name, None if model.users is not None else float(offered), rate, gain,
            rate / total, float(1 - fine.mean()) if len(fine) else 0.0,
            p["p50"], p["p99"],
        )  # fmt: skip


def gained(answered: Floats, claims: Floats, *, capped: bool) -> Floats:
    """Answered of claimed, per model; both of shape (models, blocks)."""
    found: Floats = answered.sum(axis=1) / np.maximum(claims.sum(axis=1), 1e-12)
    return np.minimum(found, 1.0) if capped else found


def jain(x: Floats) -> float:
    """The index of what each got; 1 where nobody got anything."""
    squares = float((x**2).sum()) * len(x)
    return float(x.sum()) ** 2 / squares if squares else 1.0


def jackknife(answered: Floats, claims: Floats, *, capped: bool) -> tuple[float, float, float]:
    """Jain's index and its 95 % interval, from counts of shape (models, blocks)."""
    from scipy import stats

    blocks = answered.shape[1]
    whole = jain(gained(answered, claims, capped=capped))
    without = np.array([
        jain(gained(np.delete(answered, b, 1), np.delete(claims, b, 1), capped=capped))
        for b in range(blocks)
    ])  # fmt: skip
    pseudo = blocks * whole - (blocks - 1) * without
    middle, rho = float(pseudo.mean()), autocorrelation(pseudo - pseudo.mean())
    error = float(pseudo.std(ddof=1)) / math.sqrt(blocks) * math.sqrt((1 + rho) / (1 - rho))
    half = float(stats.t.ppf((1 + LEVEL) / 2, blocks - 1)) * error
    least = 1 / len(answered)
    index, low, high = (min(max(v, least), 1.0) for v in (middle, middle - half, middle + half))
    return index, low, high


def sentences(found: list[Fairness]) -> Iterator[str]:
    """A phase in a sentence; the first says what the index means."""
    for number, phase in enumerate(found):
        capped = all(share.offered is not None for share in phase.shares)
        got = ", ".join(
            f"{share.model} got {share.got:.0%} of what was asked" if capped
            else f"{share.model} {share.answered:.1f} inferences/s ({share.share:.0%} of all)"
            for share in phase.shares
        )  # fmt: skip
        index = f"no index, since {phase.why_not}"
        if phase.index is not None:
            index = f"Jain's index {phase.index:.3f} [{phase.low:.3f}, {phase.high:.3f}]"
        least = 1 / len(phase.shares)
        means = "" if number else f"; 1 is fair, {least:.2g} one model alone"
        yield f"In {phase.phase} {got}: {index}{means}."
