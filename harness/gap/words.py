"""The gap and what would close it, in words: for a terminal and for the report."""

from __future__ import annotations

from harness.analysis.intervals import Interval
from harness.gap.advice import Advice
from harness.gap.parts import PARTS, Gap

LARGEST = 3
"""Parts that the sentence names."""


def ms(value: float) -> str:
    """Milliseconds with three digits, of which at most four stand behind the point."""
    size = abs(value)  # infinity, from a damaged journal, too
    digits = max(0, 3 - len(f"{size:.0f}")) if size >= 1 else 3 if size >= 0.1 else 4
    return f"{value:z.{digits}f}".replace("-", "−")


def with_range(interval: Interval) -> str:
    """`0.421 [0.398, 0.444]`; the value alone where there is no interval."""
    if interval.low is None or interval.high is None:
        return ms(interval.value)
    return f"{ms(interval.value)} [{ms(interval.low)}, {ms(interval.high)}]"


def sentence(gap: Gap) -> str:
    """How long a request takes in both, what most of the difference is, and what is not known."""
    took = (
        f"A request takes {ms(gap.end_to_end.value)} ms on {gap.served.backend} and "
        f"{ms(gap.in_process.value)} ms in {gap.native.backend}"
    )
    unknown = ("unexplained", "outside")
    known = [p for p in gap.parts if p.name not in unknown]
    largest = sorted(known, key=lambda p: -abs(p.ms.value))[:LARGEST]
    most = "; ".join(f"{PARTS[p.name].lower()}: {'+' * (p.ms.value >= 0)}{ms(p.ms.value)}"
                     for p in largest)  # fmt: skip
    rest, more = gap.part(*unknown), "more" if gap.ms >= 0 else "less"
    bad = " and ".join(f"{r.point} is invalid" for r in (gap.native, gap.served) if not r.valid)
    return (
        f"{took}: {ms(abs(gap.ms))} ms {more}. The largest parts, in ms: {most}. Unexplained: "
        f"{ms(rest)} ms, {abs(rest) / gap.end_to_end.value:.1%} of the end-to-end time."
        f"{bad and f' Not to be relied on: {bad}.'}"
    )


def control(gap: Gap) -> str:
    """What the null server says; empty where it was not asked."""
    if gap.floor_ms is None:
        return ""
    return (
        f"Control: with the same bytes and a server that does nothing, a round trip of the same "
        f"client takes {ms(gap.floor_ms)} ms at best."
    )


def advised(found: Advice) -> str:
    """What a change saved or may save; what the rounds can't tell from nothing is no saving."""
    saves = found.saves
    if saves is None:
        return f"saves at most {ms(found.at_most_ms or 0.0)} ms"
    if saves.low is None or saves.high is None or saves.low <= 0 <= saves.high:
        return f"no difference shown: saved {with_range(saves)} ms"
    if saves.value > 0:
        return f"saves {with_range(saves)} ms"
    costs = Interval(-saves.value, -saves.high, -saves.low, saves.rounds)
    return f"costs {with_range(costs)} ms"
