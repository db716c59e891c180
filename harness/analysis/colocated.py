"""The co-located models, over the rounds of a point; and the same point without them.

Their metrics are named `colocated/NAME/METRIC`, like `colocated/detector/latency_p99_ms`;
`present` is 1 where the model was there. Values, intervals and bounds are those of every other
metric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import SummaryRow
from harness.results.rows import PERCENTILES, MeasurementRow

PREFIX, PRESENT = "colocated/", "present"


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


def metric_name(model: str, metric: str) -> str:
    """The name of a model's metric among those of a point."""
    return f"{PREFIX}{model}/{metric}"


def split_name(name: str) -> tuple[str, str] | None:
    """Model and metric; None for a metric of the measured model."""
    if not name.startswith(PREFIX):
        return None
    model, _, metric = name.removeprefix(PREFIX).partition("/")
    return model, metric


def models_colocated(scenario: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Name → settings of each co-located model of a scenario; those of a name are alike."""
    return {
        other["name"]: other
        for backend in scenario.get("backends") or ()
        for other in backend.get("colocated") or ()
    }


def names(row: SummaryRow) -> list[str]:
    """The co-located models at a point."""
    return list(dict.fromkeys(name for m in row.measurements for name in _facts(m)))


def _facts(row: MeasurementRow) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = row.details.get("colocated") or {}
    return found


def round_values(row: SummaryRow, model: str, metric: str) -> list[float]:
    """A model's metric in each round; empty where a round lacks it."""
    known = [_value(_facts(m).get(model), metric) for m in row.measurements]
    return [v for v in known if v is not None] if None not in known else []


def _value(facts: Mapping[str, Any] | None, metric: str) -> float | None:
    if metric == PRESENT:
        return 0.0 if facts is None else 1.0
    if facts is None:
        return None
    if metric.startswith("latency_"):
        found = facts["latency_ms"].get(metric.removeprefix("latency_").removesuffix("_ms"))
    else:
        found = facts.get(metric)
    return None if found is None else float(found)  # a journal spells infinity as text


def value(row: SummaryRow, model: str, metric: str) -> Interval | None:
    """A model's metric over the rounds; None where it is not known."""
    values = round_values(row, model, metric)
    if not values:
        return None
    if metric == "errors":
        return Interval(math.fsum(values))
    return Interval(min(values)) if metric == PRESENT else log_t_interval(values)


def summarize_colocated(row: SummaryRow) -> list[ColocatedSummary]:
    """One entry a co-located model, in the order of the scenario."""
    return [_summary(row, name) for name in names(row)]


def _summary(row: SummaryRow, name: str) -> ColocatedSummary:
    facts = [f for m in row.measurements if (f := _facts(m).get(name)) is not None]
    latency = {p: value(row, name, f"latency_{p}_ms") for p in PERCENTILES}
    return ColocatedSummary(
        name, facts[0]["load"], value(row, name, "throughput"), latency,
        sum(f["requests"] for f in facts), sum(f["errors"] for f in facts),
        tuple(dict.fromkeys(flag for f in facts for flag in f["flags"])),
    )  # fmt: skip


# --------------------------------------------------------------------------- alone and together


@dataclass(frozen=True, slots=True)
class Pair:
    """The same config under the same load, with other co-located models and without."""

    together: SummaryRow
    alone: SummaryRow


def pairs(rows: Sequence[SummaryRow], scenario: Mapping[str, Any]) -> list[Pair]:
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


def _served(scenario: Any) -> dict[tuple[str, str], tuple[str, bool]]:
    """(backend, config) → what is served without co-located models, and whether there are any."""
    from harness.scenario.spec.scenario import ServedSettings
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


def _there(row: SummaryRow, served: Mapping[tuple[str, str], tuple[str, bool]]) -> bool:
    return served.get((row.backend, row.config), ("", False))[1]


def _place(row: SummaryRow, served: Mapping[tuple[str, str], tuple[str, bool]]) -> Any:
    """What two points must share to be compared; a point of another backend is like none."""
    what = served.get((row.backend, row.config), (row.point, False))[0]
    return what, row.batch_size, row.concurrency, row.request_rate, row.point.rpartition("/")[2]
