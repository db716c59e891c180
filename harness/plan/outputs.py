"""The plan in the terminal and as JSON; both say what is an estimate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.plan.planning import SCHEMA, UNTRIED, Cell, Plan, SystemPlan
from harness.plan.proving import Proof, sentence
from harness.plan.rounding import fits_by_busy
from harness.plan.sizing import Fit
from harness.plan.units import measured, stated
from harness.report.model import labels
from harness.results.grouping import grouped

HARDLY_MIB = 0.05
"""A term of the memory that is less is not worth a word."""


def answer(plan: Plan) -> str:
    """The first sentence: what to deploy, how many, and what each asks for."""
    sized, demand = plan.sized, plan.demand
    need = sized.need
    memory = "" if need is None else f", each asking for {need.mib:,} MiB of GPU memory"
    cards = "" if sized.cards is None else f", on {labels.counted(sized.cards, 'card')}"
    return (
        f"{labels.counted(sized.replicas, 'replica')} of {sized.candidate.point}{memory}{cards}: "
        f"for {stated(demand.planned_rate)} inferences a second within p99 ≤ "
        f"{stated(demand.slo_p99_ms)} ms."
    )


def reasons(plan: Plan) -> Iterator[str]:
    """How the answer came about, a sentence each."""
    sized, demand = plan.sized, plan.demand
    found = sized.candidate
    end = "the interval's lower end" if found.has_interval else "no interval"
    p99 = "" if found.p99_ms is None else f", p99 {found.p99_ms:.3g} ms"
    grown = (
        f", with {demand.growth:,.0%} growth {stated(demand.planned_rate)}; today's rate takes "
        f"{sized.replicas_now:,}"
    ) * bool(demand.growth)
    yield (
        f"One replica: {measured(found.rate)} inferences a second, counted as "
        f"{measured(found.rate_low)} ({end}){p99}; {found.basis}."
    )
    yield (
        f"Each carries {measured(sized.load)} a second ({demand.headroom:.0%} headroom); the rate "
        f"is {stated(demand.rate)}{grown}."
    )
    if sized.threshold < sized.load:
        yield (
            f"An autoscaler adds a replica from {measured(sized.threshold)} a second of each: from "
            "that knee on requests mostly wait."
        )
    yield from _memory_reasons(plan)
    if (kwh := plan.kwh_per_million) is not None:
        yield f"GPU energy: {measured(kwh, 3)} kWh per million inferences, at the measured load."
    if (cost := plan.cost_per_million) is not None:
        yield (
            f"Money: {measured(cost, 3)} per million inferences at the planned rate, with whole "
            f"cards at {stated(plan.price or 0.0)} an hour."
        )


def _memory_reasons(plan: Plan) -> Iterator[str]:
    """What the request is made of."""
    sized, found = plan.sized, plan.sized.candidate
    if sized.need is not None and found.gpu_mib is not None:
        scope = "the process tree" if found.gpu_scope != "device" else "the device's difference"
        yield (
            f"GPU memory: {found.gpu_mib:,.0f} MiB, the largest peak of {scope} over all rounds, "
            f"plus {plan.margin:.0%} = {sized.need.mib:,} MiB."
        )
        if sized.need.processes > 1:
            yield (
                f"Where a limit is each process's: {sized.need.processes} processes × "
                f"{sized.need.process_mib:,} MiB (an estimate)."
            )
        busy = sized.need.busy_percent
        room = f"; busy {busy:.0f}% a replica: by that {fits_by_busy(busy)} fit" if busy else ""
        yield f"Card: {plan.card}{room}."
        held = [row.fit.by_sharing for row in plan.systems if row.fit and row.fit.by_sharing]
        if held:
            most = labels.counted(max(held), "replica")
            yield f"Together on one card: up to {most} held the target."
    elif found.host_mib is not None:
        yield f"No GPU memory was measured; host memory peaked at {found.host_mib:,.0f} MiB."


def no_files(plan: Plan) -> str | None:
    """Why no system has a request, and so no file, and what to do; None where one has."""
    if any(row.rounded for row in plan.systems):
        return None
    sized = plan.sized
    if sized.need is not None:
        return (
            "No files: each system that was asked for refuses the request, for the reason under "
            "Refused; without --system the plan is for all."
        )
    do = (
        "run it again with server.telemetry, which measures the server's" if sized.unknown
        else "plan from a run of a backend on a GPU"
    )  # fmt: skip
    return (
        f"No files: of {sized.candidate.point} no GPU memory was measured, so there is none to ask "
        f"for; {do}."
    )


def page(plan: Plan) -> RenderableType:
    """Everything, for a console."""
    reason = no_files(plan)
    parts: list[RenderableType] = [
        Text(answer(plan), style="bold"), *(Text(line) for line in reasons(plan)), Text(""),
        _proof(plan.proof), Text(""),
        _systems(plan) if reason is None else Text(reason, style="yellow"),
        Text(""), _what_if(plan),
    ]  # fmt: skip
    said = list(memory_lines(plan))
    parts += [Text(""), *map(Text, said)] if said else []
    parts += [Text(""), *map(Text, plan.together.answers)] if plan.together else []
    for title, lines in (
        ("Refused", tuple(
            f"{labels.listed(row.system.name for row in rows)}: {why}"
            for why, rows in refused(plan).items()
        )),
        ("Estimates", plan.estimates),
        ("Neither shown to hold the target nor to fail it", plan.undecided),
        ("What bites", tuple(_notes(plan))),
    ):  # fmt: skip
        if lines:
            parts += [Text(""), Text(f"{title}:"), *(Text(f"  {line}") for line in lines)]
    return Group(*parts)


def refused(plan: Plan) -> dict[str, list[SystemPlan]]:
    """The systems without a request, by the reason."""
    return grouped((row for row in plan.systems if row.refused), lambda row: row.refused)


def memory_lines(plan: Plan) -> Iterator[str]:
    """The fitted memory, its error, and the estimates that were asked for."""
    yield from _parts_lines(plan)
    model = plan.memory_model
    if model is None:
        return
    terms = (f"{measured(size)} MiB {_each(name)}" for name, size in model.coefficients.items()
             if size >= HARDLY_MIB or name == "fixed")  # fmt: skip
    yield (
        f"GPU memory of {model.backend}, fitted to {len(model.points)} points: {', '.join(terms)}. "
        f"A point predicted by the others is off by {model.typical:.1%} in the median, "
        f"{model.worst:.1%} at most."
    )
    for found in plan.at:
        yield (
            f"Estimate for {found.combination}: {found.mib:,.0f} MiB ({found.low:,.0f} to "
            f"{found.high:,.0f}); not measured"
            + (", and beyond what was: an extrapolation." if found.extrapolated else ".")
        )


def _parts_lines(plan: Plan) -> Iterator[str]:
    """The peak by the stages of its start, and what the runtime says of it."""
    found = plan.parts
    if found is None:
        return
    stages, said = (
        ", ".join(f"{part.name} {part.mib:,.0f}" for part in parts)
        for parts in (found.stages, found.allocators)
    )
    yield f"The peak by the stages of its start, round {found.round + 1}, in MiB: {stages}."
    if said:
        yield f"Of it, as the runtime says: {said}."


def _each(name: str) -> str:
    return name if name == "fixed" else f"for {name.replace('a ', 'each ').replace('an ', 'each ')}"


def _memory_json(plan: Plan) -> dict[str, object] | None:
    model = plan.memory_model
    if model is None:
        return None
    return {
        "backend": model.backend, "mib": model.coefficients, "typical_error": model.typical,
        "worst_error": model.worst, "at": [asdict(found) for found in plan.at],
        "points": [{**asdict(c), "mib": mib, "error": error} for (c, mib), error
                   in zip(model.points, model.errors, strict=True)],
    }  # fmt: skip


def _proof(proof: Proof | None) -> Text:
    if proof is None:
        return Text(UNTRIED, style="yellow")
    return Text(sentence(proof), style="green" if proof.verified else "red")


def _proof_json(proof: Proof | None) -> dict[str, object]:
    if proof is None:
        return {"tried_under_a_cap": False, "text": UNTRIED}
    least = proof.smallest
    return {
        "tried_under_a_cap": True, "verified": proof.verified, "text": sentence(proof),
        **asdict(proof), "smallest_mib": None if least is None else least.mib,
    }  # fmt: skip


def _systems(plan: Plan) -> Table:
    table = Table(
        title="Request by system",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for heading in ("system", "value", "MiB", "a card", "binds", "cards", "held"):
        right = heading in ("MiB", "a card", "cards")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for row in plan.systems:
        if row.rounded is None:
            continue
        fit = row.fit
        table.add_row(
            row.system.name, row.rounded.written, f"{row.rounded.mib:,}",
            _number(fit.per_card if fit else None), _binding(fit),
            _number(fit.cards if fit else None),
            "enforced" if row.system.enforced else "advisory",
        )  # fmt: skip
    return table


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _binding(fit: Fit | None) -> str:
    return fit.binding if fit else "unknown"


def _what_if(plan: Plan) -> Table:
    cards = any(cell.cards is not None for cell in plan.what_if)
    title = f"What if: replicas{' (cards)' if cards else ''}, by p99 target"
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column("infer/s", justify="right", no_wrap=True)
    targets = list(dict.fromkeys(cell.slo_p99_ms for cell in plan.what_if))
    for target in targets:
        table.add_column(f"≤ {stated(target)} ms", overflow="fold")
    for rate in dict.fromkeys(cell.rate for cell in plan.what_if):
        cells = [cell for cell in plan.what_if if cell.rate == rate]
        texts = [
            nobody(c)
            if c.point is None
            else f"{_number(c.replicas)}{f' ({_number(c.cards)})' if cards else ''}\n{c.point}"
            for c in cells
        ]
        table.add_row(stated(rate), *(Text(text) for text in texts))
    return table


def nobody(cell: Cell) -> str:
    """Of a cell without a point."""
    return "undecided" if cell.undecided else "none"


def _notes(plan: Plan) -> Iterator[str]:
    for row in plan.systems:
        if row.rounded is not None:
            yield f"{row.system.name}: {row.system.key} = {row.rounded.written}"
            for text in (row.system.enforcement, *row.rounded.notes, *row.system.traps):
                yield f"  {text}"


def json_text(plan: Plan) -> str:
    """The plan as JSON; the keys are in docs/plan.md."""
    sized = plan.sized
    document = {
        "schema": SCHEMA, "run": plan.run, "scenario": plan.scenario, "answer": answer(plan),
        "proof": _proof_json(plan.proof),
        "demand": {**asdict(plan.demand), "planned_rate": plan.demand.planned_rate},
        "choice": {
            **asdict(sized.candidate), "replicas": sized.replicas,
            "replicas_now": sized.replicas_now, "load_per_replica": sized.load,
            "cards": sized.cards, "kwh_per_million": plan.kwh_per_million,
            "cost_per_million": plan.cost_per_million,
        },
        "memory": None if sized.need is None else {**asdict(sized.need), "margin": plan.margin},
        "memory_parts": None if plan.parts is None else asdict(plan.parts),
        "memory_model": _memory_json(plan),
        "sharing": None if plan.together is None else plan.together.to_json(),
        "no_files": no_files(plan),
        "systems": [_system(row) for row in plan.systems],
        "what_if": [asdict(cell) for cell in plan.what_if],
        "undecided": plan.undecided, "estimates": plan.estimates,
    }  # fmt: skip
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _system(row: SystemPlan) -> dict[str, object]:
    system = row.system
    return {
        "system": system.name, "title": system.title, "key": system.key, "unit": system.unit,
        "rule": system.rule, "enforced": system.enforced, "enforcement": system.enforcement,
        "per_process": system.per_process, "traps": system.traps, "refused": row.refused or None,
        "request": None if row.rounded is None else asdict(row.rounded),
        "fit": None if row.fit is None else asdict(row.fit),
    }  # fmt: skip
