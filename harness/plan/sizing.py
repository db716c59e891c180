"""From a candidate to replicas and cards: what the rate needs, what fits a card, what binds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.plan.candidates import Candidate
from harness.plan.rounding import Need, Rounded, fits_by_busy
from harness.plan.systems import System
from harness.plan.units import ceil_div
from harness.report.model.decision import with_margin


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the service."""

    rate: float
    """Inferences a second."""
    slo_p99_ms: float
    headroom: float
    """Share of a replica's capacity that is left free."""
    growth: float
    """Share by which the rate will grow."""

    @property
    def planned_rate(self) -> float:
        """With the growth."""
        return self.rate * (1 + self.growth)


def load_of(candidate: Candidate, demand: Demand) -> float:
    """Inferences a second that one replica is planned to carry."""
    return candidate.rate_low * (1 - demand.headroom)


def replicas(rate: float, load: float) -> int:
    """How many carry the rate, at least one."""
    return max(1, math.ceil(rate / load - 1e-9))


@dataclass(frozen=True, slots=True)
class Fit:
    """How many replicas one card holds, by each of four limits; None is not known."""

    by_memory: int | None
    by_compute: int | None
    by_system: int | None
    by_sharing: int | None
    """So many held the target together."""
    per_card: int | None
    """The least of those that are known."""
    binding: str
    """Which of them that is."""
    cards: int | None


def fit(
    rounded: Rounded, need: Need, most: int | None, count: int, together: int | None = None
) -> Fit:
    """Of a need in a system's unit; compute by the larger of what is asked for and what is used,
    and `together` by what replicas did to one another.
    """
    share = rounded.compute or need.compute_percent
    asked = 100 // share if share else None
    busy = fits_by_busy(need.busy_percent)
    compute = min((n for n in (asked, busy) if n is not None), default=None)
    # of equal limits the first binds: parts of a card are made by the target where there is one
    limits = {"the target": together, "memory": rounded.per_card, "compute": compute,
              "the system's limit": most}  # fmt: skip
    known = {name: n for name, n in limits.items() if n is not None}
    binding = min(known, key=lambda name: known[name], default="unknown")
    # without the card's size the other two are no answer
    per_card = known[binding] if rounded.per_card is not None else None
    return Fit(
        rounded.per_card, compute, most, together, per_card,
        binding if per_card is not None else "unknown",
        ceil_div(count, per_card) if per_card else None,
    )  # fmt: skip


def placed(rounded: Rounded, fit: Fit, system: System) -> int | None:
    """How many replicas a system's own scheduler puts on a card by what is written; None where it
    has none that counts, or the card's size is not known.
    """
    if not system.places_by or fit.by_memory is None:
        return None
    counted = rounded.compute if "compute" in system.places_by else None
    limits = (fit.by_memory, fit.by_system, 100 // counted if counted else None)
    return min(n for n in limits if n is not None)


def kept_apart(
    rounded: Rounded, fit: Fit, system: System, card_mib: int | None, count: int
) -> Rounded:  # fmt: skip
    """With a note where the scheduler may put more of `count` replicas on a card than hold there,
    and what keeps them off.
    """
    most, held = placed(rounded, fit, system), fit.per_card
    if most is None or not held or card_mib is None or min(most, count) <= held:
        return rounded
    do = f"--compute {100 // held}, or " if "compute" in system.places_by else ""
    note = (
        f"it places by what is written, up to {min(most, count):,} on a card, and {held:,} hold "
        f"there ({fit.binding} binds): {do}a request of {card_mib // (held + 1) + 1:,} MiB keeps "
        "the others off"
    )
    return replace(rounded, crowded=min(most, count), notes=(*rounded.notes, note))


@dataclass(frozen=True, slots=True)
class Processes:
    """How a replica's GPU memory is spread over its processes."""

    count: int
    server_mib: float | None = None
    """Of a Triton that has loaded nothing; None where it was not measured."""


def need_of(
    candidate: Candidate, processes: Processes, margin: float, *, compute: int | None,
    card_mib: int | None, factor: int, driver: int | None, mig: bool = False,
) -> Need | None:  # fmt: skip
    """What one replica needs; None where its GPU memory was not measured, or as nothing.

    With several processes, each one's is estimated: the tree's peak less the empty server's, in
    equal parts over the others, and at least the empty server's.
    """
    if candidate.gpu_mib is None or candidate.gpu_mib <= 0:
        return None
    peak = candidate.gpu_mib
    part = peak
    if processes.count > 1:
        server = min(processes.server_mib or 0.0, peak)
        others = processes.count - (processes.server_mib is not None)
        part = max((peak - server) / max(1, others), server)
    return Need(
        with_margin(peak, margin), with_margin(part, margin), processes.count, compute,
        candidate.busy_percent, card_mib, factor, driver, mig,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sized:
    """A candidate for a demand, with what it costs."""

    candidate: Candidate
    need: Need | None
    load: float
    """Inferences a second that each replica is planned to carry."""
    replicas: int
    replicas_now: int
    """Without the growth."""
    cards: int | None
    """By memory, compute and what held the target together, without a system's own limit."""
    unknown: bool = False
    """Whether it may hold GPU memory that was not measured, so that its cards are not known."""

    @property
    def threshold(self) -> float:
        """Inferences a second of a replica from which an autoscaler adds one: what it is planned
        to carry, or the knee where that comes first.
        """
        knee = self.candidate.knee
        return self.load if knee is None else min(self.load, knee)

    @property
    def cost(self) -> tuple[float, float, float, str]:
        """For sorting: cards, then memory of all replicas, then replicas."""
        memory = self.candidate.host_mib if self.need is None else self.need.mib
        return (
            (math.inf if self.unknown else 0) if self.need is None
            else math.inf if self.cards is None else self.cards,
            (memory or 0.0) * self.replicas, self.replicas, self.candidate.point,
        )  # fmt: skip


def size(
    candidate: Candidate, need: Need | None, demand: Demand, *, unknown: bool = False,
    together: int | None = None,
) -> Sized:  # fmt: skip
    """How many replicas the demand takes of a candidate, and how many cards.

    `unknown` says that it may hold GPU memory that was not measured; `together` is how many held
    the target on one card.
    """
    load = load_of(candidate, demand)
    count = replicas(demand.planned_rate, load)
    cards = None
    if need is not None and need.card_mib is not None:
        rounded = Rounded("", need.mib, need.card_mib // need.mib)
        found = fit(rounded, need, None, count, together)
        cards = found.cards
    return Sized(
        candidate, need, load, count, replicas(demand.rate, load), cards, need is None and unknown
    )


def cheapest(sized: Sequence[Sized]) -> Sized | None:
    """The one with the fewest cards, then the least memory, then the fewest replicas."""
    return min(sized, key=lambda s: s.cost, default=None)
