"""The co-located models, over the rounds of a point; and the same point without them.

Values, intervals and bounds are those of every other metric: see `harness.analysis.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.analysis.intervals import Interval
from harness.analysis.metrics import colocated_facts, metric_name
from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import PERCENTILE_NAMES, latency_name

if TYPE_CHECKING:
    from harness.scenario.spec.scenario import Scenario


@dataclass(frozen=True, slots=True)
class ColocatedSummary:
    """What a co-located model did at one point, over its rounds."""

    name: str
    load: Mapping[str, Any]
    throughput: Interval | None
    """Inferences a second."""
    latency_ms: Mapping[str, Interval | None]
    """By percentile; None where a round had too few requests for it."""
    requests: int
    errors: int
    flags: tuple[str, ...]


def models_colocated(scenario: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name → settings of each co-located model of a scenario; those of a name are alike."""
    return {
        other["name"]: other
        for backend in scenario.get("backends") or ()
        for other in backend.get("colocated") or ()
    }


def names(row: SummaryRow) -> list[str]:
    """The co-located models at a point."""
    return list(dict.fromkeys(name for m in row.measurements for name in colocated_facts(m)))


def summarize_colocated(row: SummaryRow) -> list[ColocatedSummary]:
    """One entry a co-located model, in the order of the scenario."""
    return [_summary(row, name) for name in names(row)]


def _summary(row: SummaryRow, name: str) -> ColocatedSummary:
    facts = [f for m in row.measurements if (f := colocated_facts(m).get(name)) is not None]
    latency = {p: row.value(metric_name(name, latency_name(p))) for p in PERCENTILE_NAMES}
    return ColocatedSummary(
        name, facts[0]["load"], row.value(metric_name(name, "throughput")), latency,
        sum(f["requests"] for f in facts), sum(f["errors"] for f in facts),
        tuple(dict.fromkeys(flag for f in facts for flag in f["flags"])),
    )  # fmt: skip


# --------------------------------------------------------------------------- alone and together


Served = Mapping[tuple[str, str], tuple[str, bool]]
"""(backend, config) → what is served without co-located models, and whether there are any."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same config under the same load, with other co-located models and without."""

    together: SummaryRow
    alone: SummaryRow


def pairs(rows: Sequence[SummaryRow], scenario: Mapping[str, object]) -> list[Pair]:
    """Points with co-located models that another backend of the scenario has without them.

    That backend has the same settings but for its name; configs are matched by what they serve.
    """
    from harness.scenario.spec.scenario import Scenario

    if not models_colocated(scenario):
        return []
    try:
        served = _served(Scenario.model_validate(scenario))
    except ValueError:  # a scenario of another version must not cost the report
        return []
    alone = {_place(row, served): row for row in rows if not _there(row, served)}
    return [
        Pair(row, found)
        for row in rows
        if _there(row, served) and (found := alone.get(_place(row, served))) is not None
    ]


def _served(scenario: Scenario) -> Served:
    from harness.scenario.spec.served import ServedSettings
    from harness.scenario.variants import configs, settings

    largest = max(scenario.load.batch_sizes)
    found = {}
    for backend, specs in configs(scenario).items():
        for config, spec in specs.items():
            if not isinstance(spec, ServedSettings):
                continue
            own = settings(spec.model_copy(update={"colocated": ()}), largest)
            varied = {"name", "colocated", *own}
            rest = spec.model_dump_json(exclude=varied)
            found[backend, config] = f"{sorted(own.items())} {rest}", bool(spec.colocated)
    return found


def _there(row: SummaryRow, served: Served) -> bool:
    return served.get((row.backend, row.config), ("", False))[1]


def _place(row: SummaryRow, served: Served) -> tuple[object, ...]:
    """What two points must share to be compared; a point of another backend is like none."""
    what = served.get((row.backend, row.config), (row.point, False))[0]
    load = row.concurrency, row.request_rate, row.point.rpartition("/")[2]
    return what, row.batch_size, row.sizes, *load
