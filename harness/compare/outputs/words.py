"""A comparison in words and numbers, the same in every output."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.compare.layers.matching import LayerChange, Layers
from harness.compare.result import Comparison, PointResult, Row, Verdict
from harness.compare.verdicts import Verdict as OfMetric
from harness.report.model.labels import some
from harness.report.model.numbers import NOT_AVAILABLE, significant
from harness.scenario.wording import signed

CONFIDENCE = "95 %"
POOLED = "all points"
ABSENT = "absent"
SYMBOLS = {
    Verdict.REGRESSION: "✗", Verdict.IMPROVEMENT: "✓", Verdict.EQUIVALENT: "=",
    Verdict.INCONCLUSIVE: "?", Verdict.INVALID: "!",
}  # fmt: skip


def headline(found: Comparison) -> str:
    """`REGRESSION: B against A`, one line; of what would have been refused it says so."""
    return f"{found.verdict.upper()}: {names(found)}"


def names(found: Comparison) -> str:
    """`B against A`, or `B against A (FORCED: not comparable)`."""
    forced = " (FORCED: not comparable)" if found.forced else ""
    return f"{found.candidate.name} against {found.base.name}{forced}"


def explanation(found: Comparison) -> str:
    """Why the verdict is what it is, and in short what was found at the other points."""
    of = [p for p in found.points if p.verdict is found.verdict]
    match found.verdict:
        case Verdict.REGRESSION | Verdict.IMPROVEMENT:
            said = _by_reason(of, what_changed)
            if not said or found.drift:
                said += [found.drift or f"{POOLED}: {_decided(found.pooled)}"]
        case Verdict.EQUIVALENT:
            return f"Every metric lies within its tolerance ({tolerances(found)}) at {CONFIDENCE}."
        case _:
            said = _by_reason(of, REASON) or ["nothing was measured"]
    more = still_needed(found) if found.verdict is Verdict.INCONCLUSIVE else ""
    return f"{'; '.join([_list(said), *_elsewhere(found)])}. {more}".rstrip()


def _elsewhere(found: Comparison) -> Iterator[str]:
    """`improvement at b1/c1: throughput +19.7 % […]`, `equivalent at b4/c1`: the other verdicts."""
    for verdict in Verdict:
        of = [p for p in found.points if p.verdict is verdict is not found.verdict]
        if of:
            improved = verdict is Verdict.IMPROVEMENT
            places = ", ".join(some([p.place for p in of], 3))
            yield f"{verdict} at {_list(_by_reason(of, what_changed)) if improved else places}"


REASON: Callable[[PointResult], str] = operator.attrgetter("reason")


def _by_reason(points: Iterable[PointResult], why: Callable[[PointResult], str]) -> list[str]:
    """Each reason once, after the points that it holds at."""
    places: dict[str, list[str]] = {}
    for point in points:
        places.setdefault(why(point), []).append(point.place)
    return [f"{', '.join(at)}: {reason}" for reason, at in places.items()]


def what_changed(point: PointResult) -> str:
    """The metrics that decided a point, with their change."""
    return _decided(point.rows) or point.reason


def _decided(rows: Iterable[Row]) -> str:
    decided = (OfMetric.REGRESSION, OfMetric.IMPROVEMENT)
    return ", ".join(
        f"{r.metric.title} {change(r)} {interval(r)}" for r in rows if r.judged.verdict in decided
    )


def _list(said: Sequence[str], most: int = 3) -> str:
    rest = f"; and {len(said) - most} more" if len(said) > most else ""
    return "; ".join(said[:most]) + rest


def still_needed(found: Comparison) -> str:
    """Blocks and minutes by which it should be decided; empty where no number of them would."""
    if found.needed is None:
        return ""
    minutes = found.minutes
    time = f", about {minutes:.1f} more minutes" if minutes is not None else ""
    return f"It should be decided after {found.needed} blocks{time}."


def tolerances(found: Comparison) -> str:
    """`throughput 2 %, p50 2 %, p99 5 %`."""
    metrics = {r.metric.key: r.metric.margin for p in found.points for r in p.rows}
    return ", ".join(f"{key} {100 * margin:g} %" for key, margin in metrics.items())


def change(row: Row) -> str:
    """`+3.1 %`."""
    return percent(row.change)


def percent(share: float) -> str:
    """With a sign, and as many digits as one reads."""
    if not math.isfinite(share):
        return NOT_AVAILABLE
    return f"{signed(100 * share, ',.1f')} %"


def interval(row: Row) -> str:
    """`[+1.9 %, +4.4 %]`; empty where there is none."""
    if not row.known:
        return ""
    low, high = row.interval
    return f"[{percent(low)}, {percent(high)}]"


def value(number: float) -> str:
    """Three significant digits."""
    return significant(number)


def notes(found: Comparison) -> list[str]:
    """What a reader must know of how it came about, and the explanation does not say."""
    why = explanation(found)
    said = [f"FORCED, not comparable: {reason}" for reason in found.forced]
    said += [f"outputs: {found.drift}"] if found.drift else []
    said += [f"not held equal: {text}" for text in found.unequal]
    said += _by_reason([p for p in found.points if p.reason and p.reason not in why], REASON)
    said += [f"only on one side: {place}" for place in found.left_out]
    return said


LAYER_TITLES = ("layer", "type", "output", "base µs", "candidate µs", "change µs", "95 %", "")
MOST_LAYERS = 10


def layer_rows(layers: Layers) -> list[tuple[str, ...]]:
    """By `LAYER_TITLES`: the layers that contribute most, then what no layer explains."""
    return [_layer(c) for c in (*layers.changes[:MOST_LAYERS], layers.rest)]


def _layer(found: LayerChange) -> tuple[str, ...]:
    where = {found.base_where, found.candidate_where} - {""}
    moved = f"{found.base_where} → {found.candidate_where}" if len(where) > 1 else ""
    named = ("slower" if found.change_us > 0 else "faster") if found.named else ""
    return (
        found.name, found.kind, found.shape, _us(found.base_us), _us(found.candidate_us),
        signed(found.change_us, ".1f"),
        f"[{signed(found.low_us, '.1f')}, {signed(found.high_us, '.1f')}]",
        ", ".join(text for text in (named, moved) if text),
    )  # fmt: skip


def _us(value: float | None) -> str:
    return "absent" if value is None else f"{value:.1f}"


def layers_said(layers: Layers) -> str:
    """What the table of layers says, in a sentence."""
    causes = [c.name for c in layers.named]
    said = f"significant: {', '.join(causes[:3])}" if causes else "no layer differs significantly"
    if layers.rest.named:
        said += f"; {signed(layers.rest.change_us, '.1f')} µs are {layers.rest.name}"
    return (
        f"Layers, profiled in {layers.blocks} blocks of their own "
        f"({layers.base_us:.0f} → {layers.candidate_us:.0f} µs a run): {said}."
    )


def differing(found: Comparison) -> list[tuple[str, str, str]]:
    """What differs between the two: name, the base's, the candidate's; packages that one side alone
    has are last.
    """
    rows = [(key, a or ABSENT, b or ABSENT) for key, (a, b) in found.changed.items()]
    return sorted(rows, key=lambda row: ABSENT in row and " " not in row[0])
