"""Each system's own rule for rounding, of the projects' sources and documents (November 2026).

Every rule takes a `Need` and gives what is written, what a replica takes of a card by it, and how
many fit one; or says why the system can't hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.plan.units import ceil_div, hami_core_text, mps_text, quantity_text


@dataclass(frozen=True, slots=True)
class Need:
    """One replica's, with the margin; MiB is 2^20 bytes."""

    mib: int
    """Of the whole process tree, contexts included."""
    process_mib: int
    """Of its largest process: what a limit that holds for each process must allow."""
    processes: int = 1
    """How many of its processes hold GPU memory."""
    compute_percent: int | None = None
    """Share of a card's compute to ask for; None asks for none."""
    busy_percent: float | None = None
    """Share of the time in which it kept the GPU busy; None where that is not known."""
    card_mib: int | None = None
    """The whole card's."""
    memory_factor: int = 1
    """HAMi's `memoryFactor`, Volcano's `gpu-memory-factor`: MiB a unit."""
    driver: int | None = None
    """Major version of the driver where it will run, e.g. 580."""
    mig: bool = False
    """Whether the GPU that was measured is a part of a card (MIG)."""
    together: int | None = None
    """How many held the target on one card; None where that was not tried."""


@dataclass(frozen=True, slots=True)
class Rounded:
    """A need in a system's own unit."""

    written: str
    """As it stands in the file."""
    mib: int
    """What of a card one replica takes by it: of all its processes where the limit is each's."""
    per_card: int | None
    """How many replicas fit a card by memory; None where the card's size is not known."""
    compute: int | None = None
    """Percent of the card's compute as it is written; None where none is asked for."""
    notes: tuple[str, ...] = ()
    crowded: int | None = None
    """So many replicas the system may put on a card by what is written, where fewer hold there."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A need that a system can't hold, and why."""

    why: str


Rule = Callable[[Need], Rounded | Refused]
VOLCANO_MOST = 32_767
"""What a resource of the Volcano plugin counts to."""
COMPUTE_STEP = 5
"""Of `--gpucore` and of ACK's percentages."""


def in_units(unit_mib: int, *, step: int = 1) -> Rule:
    """Whole units up; a card counts its whole units only, and compute goes in steps up."""

    def rule(need: Need) -> Rounded | Refused:
        return _counted(need, unit_mib, step=step)

    return rule


def _counted(need: Need, unit_mib: int, *, step: int = 1, most: int | None = None) -> (
    Rounded | Refused
):  # fmt: skip
    count = ceil_div(need.mib, unit_mib)
    held = None if need.card_mib is None else need.card_mib // unit_mib
    if held is not None and most is not None:
        held = min(held, most)
    if held is not None and count > held:
        return Refused(
            f"needs {count:,} units of {unit_mib:,} MiB; a card of {need.card_mib:,} MiB counts "
            f"{held:,}"
        )
    compute = _compute(need, step)
    if compute is not None and compute > 100:
        return Refused(f"{compute} % of a card's compute: a card has 100")
    return Rounded(
        str(count), count * unit_mib, None if held is None else held // count, compute
    )  # fmt: skip


def _compute(need: Need, step: int = 1) -> int | None:
    asked = need.compute_percent
    return None if asked is None else ceil_div(asked, step) * step


def by_factor(need: Need) -> Rounded | Refused:
    """HAMi: units of so many MiB as the cluster's `memoryFactor` says."""
    return _counted(need, need.memory_factor)


def by_percentage(need: Need) -> Rounded | Refused:
    """HAMi's and Volcano's percentages, which are floored to MiB: the least that still holds it."""
    card = need.card_mib
    if card is None:
        return Refused("a percentage needs the card's size: give --card-mib")
    percent = next((p for p in range(1, 101) if card * p // 100 >= need.mib), None)
    if percent is None:
        return Refused(f"needs {need.mib:,} MiB; the card has {card:,}")
    return Rounded(str(percent), card * percent // 100, 100 // percent, _compute(need))


def volcano(need: Need) -> Rounded | Refused:
    """Volcano's vGPU: units of `gpu-memory-factor` MiB, of which 32,767 can be counted."""
    count = ceil_div(need.mib, need.memory_factor)
    if count > VOLCANO_MOST:
        return Refused(
            f"{count:,} units: a resource counts to {VOLCANO_MOST:,} only; set the cluster's "
            f"gpu-memory-factor to {ceil_div(need.mib, VOLCANO_MOST)} or more (--memory-factor)"
        )
    found = _counted(need, need.memory_factor, most=VOLCANO_MOST)
    if isinstance(found, Refused) or need.card_mib is None:
        return found
    if need.card_mib // need.memory_factor <= VOLCANO_MOST:
        return found
    note = (
        f"of a card of {need.card_mib:,} MiB only {VOLCANO_MOST:,} units are counted: a "
        f"gpu-memory-factor of {ceil_div(need.card_mib, VOLCANO_MOST)} counts all of it"
    )
    return replace(found, notes=(note,))


def kai_percent(mib: int, card_mib: int) -> int:
    """KAI: ceil(100·MiB/card), in hundredths of a card."""
    return ceil_div(100 * mib, card_mib)


def _kai(need: Need, written: str) -> Rounded | Refused:
    card = need.card_mib
    if card is None:
        return Refused("KAI makes hundredths of a card of it: give --card-mib")
    percent = kai_percent(need.mib, card)
    if percent > 100:
        return Refused(f"needs {need.mib:,} MiB; the card has {card:,}")
    cap = percent * card // 100
    note = f"{need.mib:,} MiB become {percent} % of the card: {cap:,} MiB"
    return Rounded(
        written.format(mib=need.mib, fraction=f"{percent / 100:g}"), cap, 100 // percent,
        None, (note,),
    )  # fmt: skip


def kai_memory(need: Need) -> Rounded | Refused:
    """KAI's `gpu-memory`: MiB, rounded by the scheduler to hundredths of a card."""
    return _kai(need, "{mib}")


def kai_fraction(need: Need) -> Rounded | Refused:
    """KAI's `gpu-fraction`."""
    return _kai(need, "{fraction}")


def _whole(need: Need, written: str) -> Rounded | Refused:
    found = _counted(need, 1)
    if isinstance(found, Refused):
        return found
    return replace(found, written=written)


def mib(need: Need) -> Rounded | Refused:
    """Whole MiB, as a number."""
    return _counted(need, 1)


def quantity(need: Need) -> Rounded | Refused:
    """Whole MiB, as a Kubernetes quantity."""
    return _whole(need, quantity_text(need.mib))


def hami_core(need: Need) -> Rounded | Refused:
    """Whole MiB with HAMi-core's suffixes; 0 would be no limit at all."""
    return _whole(need, hami_core_text(need.mib))


def each_process(text: Callable[[int], str]) -> Rule:
    """A limit for each process: a replica may take as many times as much as it has processes."""

    def rule(need: Need) -> Rounded | Refused:
        total = need.process_mib * need.processes
        if need.card_mib is not None and total > need.card_mib:
            return Refused(
                f"{need.processes} × {need.process_mib:,} MiB are {total:,}; the card has "
                f"{need.card_mib:,}"
            )
        note = (
            f"the limit is each process's: {need.processes} processes may take {total:,} MiB "
            "together",
        )
        return Rounded(
            text(need.process_mib), total,
            None if need.card_mib is None else need.card_mib // total, _compute(need),
            note if need.processes > 1 else (),
        )  # fmt: skip

    return rule


mps = each_process(mps_text)
"""CUDA MPS: binary suffixes."""
mps_quantity = each_process(quantity_text)
"""DRA's MPS: a quantity, floored to MiB, of which this is a whole number."""


def ecs(need: Need) -> Rounded | Refused:
    """ECS places containers by this figure and gives it to each process as its limit: all of a
    container's processes together, or too many containers come onto a card.
    """
    found = mps(need)
    if isinstance(found, Refused) or need.processes == 1:
        return found if isinstance(found, Refused) else replace(found, written=str(found.mib))
    note = f"all {need.processes} processes together; each alone may take it, so the sum is open"
    return replace(found, written=str(found.mib), notes=(note,))


def mig(need: Need) -> Rounded | Refused:
    """What a MIG device must have at least; how many a card gives is its profiles' matter."""
    found = quantity(need)
    return found if isinstance(found, Refused) else replace(found, per_card=None)


def _parts(need: Need, largest: int, most: int | None) -> Rounded | Refused:
    card = need.card_mib
    if card is None:
        return Refused("equal parts of a card need its size: give --card-mib")
    fits = card // largest if most is None else min(card // largest, most)
    limits = [fits, fits_by_busy(need.busy_percent), need.together]
    if need.compute_percent:
        limits.append(100 // need.compute_percent)
    parts = min(limit for limit in limits if limit is not None)
    if parts < 1:
        return Refused(f"needs {largest:,} MiB; the card has {card:,}")
    notes = (f"equal parts of {card // parts:,} MiB and {100 // parts} % of the threads",)
    alone = ("one replica takes the whole card: nothing is shared",) if parts == 1 else ()
    return Rounded(str(parts), card // parts, fits, 100 // parts, notes + alone)


def device_plugin(need: Need) -> Rounded | Refused:
    """The device plugin's MPS: floor(total/replicas) MiB and floor(100/replicas) % a process.

    More than 100 would leave a process 0 % of the threads.
    """
    return _parts(need, need.process_mib * need.processes, 100)


def time_slicing(need: Need) -> Rounded | Refused:
    """As many replicas as fit: nothing holds them to it."""
    found = _parts(need, need.mib, None)
    if isinstance(found, Refused):
        return found
    return replace(found, mib=need.mib, compute=None, notes=found.notes[1:])


GKE_MOST = 48
"""Clients a GPU that GKE allows."""


def gke(need: Need) -> Rounded | Refused:
    """GKE's MPS: the card in equal parts, one a client."""
    found = _parts(need, need.process_mib * need.processes, GKE_MOST)
    if not isinstance(found, Refused) and int(found.written) < 2:
        return Refused("fewer than two fit a card: sharing needs at least two clients a GPU")
    return found


def fits_by_busy(busy_percent: float | None) -> int | None:
    """How many fit a card by the share of the time in which each keeps it busy; at least one."""
    return max(1, math.floor(100 / busy_percent)) if busy_percent else None
