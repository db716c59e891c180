"""The sentence that answers the question, in Model Analyzer's form, and honest about noise."""

from __future__ import annotations

from collections.abc import Iterable

from harness.analysis import best as ranking
from harness.analysis.constraints import Bound, judge, satisfies
from harness.analysis.metrics import metric_of
from harness.analysis.summary import SummaryRow
from harness.analysis.verdict import gates
from harness.report.model import decision, labels
from harness.report.model.context import Context
from harness.report.model.judged import judged, needed
from harness.report.model.manifest_facts import hardware_line
from harness.report.model.numbers import both_text, gain_percent, mib_text
from harness.report.model.section import Sentence, Span, bold, compose
from harness.report.sections import capacity
from harness.report.sections.colocated import served_colocated
from harness.report.sections.first_page import last_percent, why_out
from harness.report.sections.parity import warned
from harness.scenario.variants import DEFAULT_CONFIG

_SHOWN = 4


def answer(context: Context) -> list[Sentence]:
    """What was found, in one to a few sentences; the first is Model Analyzer's."""
    if context.choice.best is None:
        first, *more = [_nothing(context), *_nearest(context), *_gate(context)]
    else:
        rest = [*left_out(context), *_gate(context)]
        first, *more = [_headline(context), *_details(context), *rest]
    return [warned(context, first), *more]


def _gate(context: Context) -> list[Sentence]:
    """Where each backend must hold the constraints: who does not, and who may not."""
    if context.scenario.get("gate") != "each":
        return []
    found = gates([row for row in context.rows if not row.searched], context.bounds)
    words = {"no": "not held by", "unknown": "not decided for"}
    parts = [
        f"{said} {labels.listed(names)}" for answer, said in words.items()
        if (names := [name for name, holds in found.items() if holds == answer])
    ]  # fmt: skip
    said = f"Each backend must hold the constraints (gate: each): they are {', and '.join(parts)}."
    return [compose(said)] if parts else []


def _scope(context: Context) -> str:
    measurements = labels.counted(sum(r.rounds for r in context.rows), "measurement")
    return f"In {measurements} across {labels.counted(len(context.series), 'configuration')}, "


def _aim(context: Context) -> str:
    given = ", under the given constraints" if context.bounds else ""
    aim, on = labels.objective_text(context.objective), hardware_line(context.manifest)
    return f" at {aim}{given}, on {on}."


def _nothing(context: Context) -> Sentence:
    valid = ranking.order(context.rows, context.objective)
    if context.searched and not context.rows:
        return capacity.answer(context)
    if not context.rows:
        return compose("Nothing was measured: the run ended before its first measurement.")
    if not valid:
        out = f"{labels.counted(len(context.rows), 'point')} left out ({why_out(context.rows)})"
        why = _lacking(context) or out
        return compose(_scope(context), bold("no point can be ranked"), f": {why}.")
    reasons = [_missed(context, valid, name, bound) for name, bound in context.bounds.items()]
    why = f": {'; '.join(r for r in reasons if r)}."
    return compose(_scope(context), bold("no point is shown to hold every constraint"), why)


def _lacking(context: Context) -> str:
    """Which metric of the objective no point has, and why; empty where points failed instead."""
    rows = ranking.ranked(context.rows)
    metrics = context.objective.metrics
    lacking = [m for m in metrics if rows and all(r.value(m) is None for r in rows)]
    if not lacking:
        return ""
    names = labels.listed([labels.metric_words(m)[0] for m in lacking])
    verb = "is" if len(lacking) == 1 else "are"
    aim = labels.objective_text(context.objective)
    said = f"the objective is {aim}, and {names} {verb} n/a at every point"
    return said + _unseen(context, lacking)


def _unseen(context: Context, metrics: Iterable[str]) -> str:
    """Why metrics that only a GPU has are not known; empty of others."""
    if not any(metric_of(m).gpu for m in metrics):
        return ""
    return f", since {'the GPU did not tell it' if context.has_gpu else 'no GPU was measured'}"


def _nearest(context: Context) -> list[Sentence]:
    """Where no point holds every constraint: the one that comes nearest, and what it misses."""
    found = ranking.nearest(context.rows, context.bounds)
    if found is None or not found.misses:
        return []
    parts, judgements = [], {j.metric: j for j in judged(context, found.row)}
    for miss in found.misses:
        judgement, setting = judgements[miss.metric].judgement, judgements[miss.metric].needs
        limit = labels.bound_text(miss.metric, context.bounds[miss.metric])
        if miss.found is None:
            parts.append(f"{limit} can't be judged there" + (setting and f" without {setting}"))
            continue
        how = f"is {miss.missed}"
        how += "" if judgement.holds == "no" else " by the value, not by its interval"
        more = f"; {setting} would tell" if setting else ""
        parts.append(f"{limit} {how} ({both_text(miss.found)}{more})")
    return [compose(
        "Nearest to the constraints is ", bold(f"{context.name(found.row)}"),
        f" ({labels.place_text(found.row)}): {labels.listed(parts)}.",
    )]  # fmt: skip


def _missed(context: Context, rows: list[SummaryRow], name: str, limits: Bound) -> str:
    found = [judge(r, name, limits) for r in rows]
    answers = [j.holds for j in found]
    if "yes" in answers:
        return f"{labels.bound_text(name, limits)} is held by {answers.count('yes')} of {len(rows)}"
    if all(r.value(name) is None for r in rows):
        said = f"{labels.bound_text(name, limits)} can't be judged, it is n/a at every point"
        setting = needed(context, name)
        return said + (f"; {setting} would give it" if setting else _unseen(context, [name]))
    if near := [j for j in found if j.margin is not None and j.margin >= 0]:
        said = f"is held by the value, not by its interval, at {len(near)} of {len(rows)}"
        return f"{labels.bound_text(name, limits)} {said}"
    pick = min if limits.get("max") is not None else max
    closest = pick((v for r in rows if (v := r.value(name))), key=lambda v: v.value)
    return f"{labels.bound_text(name, limits)}: the nearest point has {both_text(closest)}"


def _headline(context: Context) -> Sentence:
    names = list(dict.fromkeys(context.name(r) for r in context.choice.tied))
    best = context.choice.recommended or context.choice.tied[0]
    if not context.choice.decidable:
        return _undecided(context, best)
    if context.choice.is_front:
        return _front(context, names)
    if len(names) > 1:
        return _tie(context, names)
    other, name = _opponent(context, best), context.name(best)
    if other is None:
        only = " is the only configuration that can be ranked"
        return compose(_scope(context), bold(name), only, _aim(context))
    better = _better(context, best, other)
    return compose(_scope(context), bold(name), " ", *better, _aim(context))


def _front(context: Context, names: list[str]) -> Sentence:
    """For an objective that is a list: there is no single best, the front is named."""
    count = len(context.choice.tied)
    stands = (
        " on the Pareto front: no other point is shown to beat them" if count > 1
        else " is alone on the Pareto front: no other point is shown to match it"
    )  # fmt: skip
    points = labels.counted(count, "point")
    return compose(_scope(context), f"{points} of ", *_strong_list(names), stands, _aim(context))


def _undecided(context: Context, best: SummaryRow) -> Sentence:
    return compose(
        _scope(context), bold("no best can be named"),
        f": a difference needs at least two rounds at every point. The highest-ranking value is "
        f"{_value(context, best)} by {context.name(best)} ({labels.place_text(best)}).",
    )  # fmt: skip


def _value(context: Context, row: SummaryRow) -> str:
    shown = row.confirmed or row
    value = both_text(context.objective.value(shown))
    after = f" ({shown.rounds} rounds after the choice)" if shown is not row else ""
    single = context.objective.single
    if single is None:
        return f"a score of {value}{after}"
    name, unit = labels.metric_words(single)
    article = "an" if name[0] in "aeiou" else "a"
    return f"{article} {name} of {value}{unit}{after}"


def _tie(context: Context, names: list[str]) -> Sentence:
    return compose(
        _scope(context), "no single best can be named: ", *_strong_list(names),
        " can't be told apart by their 95% intervals", _aim(context),
    )  # fmt: skip


def _strong_list(names: list[str]) -> list[Span]:
    *head, last = labels.some(names, _SHOWN)
    between = [span for name in head for span in (bold(name), Span(", "))]
    return [*between[:-1], Span(" and "), bold(last)] if head else [bold(last)]


def _opponent(context: Context, winner: SummaryRow) -> SummaryRow | None:
    """The best point of the default configuration of the same backend, or of the reference
    backend; if that won, of the next configuration. Of points that hold the constraints, as
    `winner` does: a factor over one that does not is none.
    """
    name, known = context.name(winner), _known(context, winner)
    others = [r for r in context.choice.candidates if context.name(r) != name]
    expected = [r for r in others if context.name(r) == known]
    rest = [r for r in others if context.name(r) != known]
    found = rest or expected if _lost(context, known, winner) else expected or rest
    return found[0] if found else None


def _known(context: Context, row: SummaryRow) -> str | None:
    """What `row` is compared with: its backend's default configuration, or the reference."""
    varied = row.backend in context.names.varied
    return context.names.of(row.backend, DEFAULT_CONFIG) if varied else context.reference_series


def _uncompared(context: Context) -> str:
    """That the comparison a reader expects is not made, and why; empty where it is."""
    pick = context.choice.recommended
    known = _known(context, pick) if pick else None
    if pick is None or known is None or known == context.name(pick):
        return ""
    other = _opponent(context, pick)
    if other is not None and context.name(other) == known:
        return ""
    name = "the default configuration" if known in context.defaults else known
    lost = f"at {labels.place_text(pick)} it failed or is invalid"
    why = lost if _lost(context, known, pick) else "none of its points can be ranked"
    return f" No comparison with {name}: {why}."


def _lost(context: Context, series: str | None, row: SummaryRow) -> bool:
    """Whether `series` failed or is invalid at the batch and load of `row`: what is left of it
    would be compared at another load.
    """
    unusable = (r for r in context.of(series or "") if not ranking.usable(r))
    return any(labels.place_text(r) == labels.place_text(row) for r in unusable)


def _better(context: Context, best: SummaryRow, other: SummaryRow) -> list[str | Span]:
    """`is 62% (57–68) better than torch-cpu-fp32 (eager PyTorch, batch 4, concurrency 4)`."""
    ratio = context.differences.advantage(best, other, context.objective)
    eager = context.reference_is_eager and other.backend == context.reference
    kind = "eager PyTorch, " if eager else ""
    place = labels.place_text(other) + _better_left_out(context, other)
    target = f"{context.name(other)} ({kind}{place})"
    if best.backend == other.backend and context.name(other) in context.defaults:
        target = f"the default configuration ({place})"
    elif not eager and context.name(other) != context.reference_series:
        target = f"the next best configuration, {target}"
    if ratio is None or not ranking.differs(ratio) or ratio.value <= 1:
        return ["can't be told apart from ", target]
    if context.objective.single == "throughput" and ratio.value > 3:
        return ["has ", bold(f"{both_text(ratio)} times the throughput"), " of ", target]
    gain = gain_percent(ratio, less=context.objective.sign < 0)
    return ["is ", bold(f"{both_text(gain, '%')} better"), " than ", target]


def _better_left_out(context: Context, other: SummaryRow) -> str:
    """That a configuration has a point of a better value than `other`, left out as invalid, or
    because it is not known whether it holds the constraints.
    """
    value = context.objective.value
    least, sign = value(other), context.objective.sign
    better = [
        (sign * found.value, row) for row in context.of(context.name(other))
        if least is not None and (found := value(row)) is not None
        and sign * found.value > sign * least.value
        and (held := satisfies(row, context.bounds)) != "no"
        and (held == "unknown" or not ranking.usable(row))
    ]  # fmt: skip
    if not better:
        return ""
    row = max(better, key=lambda pair: pair[0])[1]
    unknown = "not shown to hold every constraint" if ranking.usable(row) else "a round failed"
    why = labels.why_invalid(row) or unknown
    return f"; its best point, {labels.place_text(row)}, was left out: {why}"


def _details(context: Context) -> list[Sentence]:
    """Where the best lies, and which of the tied points to take."""
    choice = context.choice
    if not choice.decidable or choice.recommended is None:
        return []
    if choice.winner is choice.recommended:
        return [compose(
            "Its best point is ", bold(labels.place_text(choice.recommended)),
            f", with {_value(context, choice.recommended)}.",
            *_settings(context, choice.recommended),
        )]  # fmt: skip
    pick = choice.recommended
    where = f"{context.name(pick)}, {labels.place_text(pick)}"
    tied = [f"{context.name(r)} ({labels.place_text(r)})" for r in choice.tied]
    first = f"No difference is shown between {labels.listed(labels.some(tied, 2 * _SHOWN))}."
    if choice.winner is not None:
        where_best = f"{context.name(choice.winner)} ({labels.place_text(choice.winner)})"
        first = f"The best value is that of {where_best}, {_value(context, choice.winner)}."
    return [
        compose(first),
        compose(
            "Recommended: ", bold(where), _why(context, pick), ".",
            *([f" It had {_value(context, pick)}."] if pick.confirmed else []),
            *_over_reference(context, pick), *_settings(context, pick),
        ),
    ]  # fmt: skip


def _why(context: Context, pick: SummaryRow) -> str:
    """Why this one of the tied points: its memory, or that the others look worse."""
    close, zone = context.choice.close, 100 * ranking.indifference_of(context.scenario)
    if len(close) == 1:
        return f": the others measured more than {zone:g}% worse"
    gpu = all(r.gpu_memory_mib is not None for r in close)
    size, kind = (pick.gpu_memory_mib, "GPU") if gpu else (pick.host_memory_mib, "host")
    if size is None:
        return ""
    if said := last_percent(context, decision.last_percent(context)):
        return f". {said[:-1]}"
    every = {r.point for r in close} == {r.point for r in context.choice.tied}
    those = "them" if every else f"those within {zone:g}% of the best"
    said = f", the cheapest of {those} in {kind} memory ({mib_text(size)} MiB)"
    if tail := context.choice.tail:
        said += f", and of equal memory the one with the lowest {metric_of(tail).title}"
    return said


def _settings(context: Context, row: SummaryRow) -> list[str | Span]:
    """Of a variant: what Model Analyzer says of its best configuration."""
    if row.backend not in context.names.varied:
        return []
    others = [f" {said}" for said in served_colocated(context, row)]
    return [" ", bold(context.name(row)), f": {context.served(row).sentence()}.", *others]


def _over_reference(context: Context, pick: SummaryRow) -> list[str | Span]:
    """In a tie over configurations: how much better than the reference the recommended one is."""
    names = {context.name(r) for r in context.choice.tied}
    other = _opponent(context, pick)
    if len(names) == 1 or other is None or context.name(other) in names:
        return []
    return [" It ", *_better(context, pick, other), "."]


def _reasons(context: Context) -> str:
    """Why points are not ranked: each of a few with its name, of many how often each reason."""
    rows = [r for r in context.rows if not ranking.usable(r)]
    if len(rows) > _SHOWN:
        return why_out(rows)
    said = [(labels.why_invalid(r) if r.rounds and not r.valid else "") or "failed" for r in rows]
    names = (f"{context.name(r)}, {labels.place_text(r)}" for r in rows)
    return "; ".join(f"{name}: {why}" for name, why in zip(names, said, strict=True))


def left_out(context: Context) -> list[Sentence]:
    """How many points are not ranked, and why; empty where all are."""
    unranked = sum(not ranking.usable(r) for r in context.rows)
    decided = ranking.at_decisive(context.rows)
    others = sum(ranking.usable(r) and r.sizes != decided[0].sizes for r in context.rows)
    missed = len(ranking.ranked(context.rows)) - len(context.choice.candidates)
    parts = []
    if others:
        parts.append(f"{labels.counted(others, 'point')} of other sizes than {decided[0].sizes}")
    if unranked:
        parts.append(f"{labels.counted(unranked, 'point')} failed or invalid ({_reasons(context)})")
    if missed and context.bounds:
        parts.append(f"{labels.counted(missed, 'point')} not shown to hold every constraint")
    elif missed:
        parts.append(f"{labels.counted(missed, 'point')} without a value to rank by")
    said = f"Left out of the ranking: {labels.listed(parts)}.{_uncompared(context)}"
    return [compose(said)] if parts else []
