"""Triton's own counters for a model, and what they say about a window.

The server counts since a model was loaded; two readings at the ends of a window give the requests
in it and where their time went. https://github.com/kserve/open-inference-protocol and Triton's
statistics extension define the fields; both protocols carry the same ones.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from harness.errors import BackendError
from harness.results.details import PHASES

COMPOSING = "composing/"
"""Begins the keys of models that the measured one is made of: `composing/NAME/KEY`."""
LOOKUPS = ("cache_hits", "cache_misses")
"""Keys of the requests that the response cache answered, and of those that it could not."""
_DURATIONS = ("success", "fail", *PHASES, "cache_hit", "cache_miss")


def counters(
    statistics: Mapping[str, object],
    name: str,
    composing: Sequence[str] = (),
    version: str = "",
) -> dict[str, float]:
    """Counters of model `name`, of one version or over all, from a `ModelStatistics` as JSON.

    `count` (requests that succeeded; to Triton that includes those which a Python model answered
    with an error), `success_ns`, `failures`, `inferences` (with their batch
    sizes counted), `executions`, `queue_ns`, `compute_input_ns`, `compute_infer_ns`,
    `compute_output_ns`, `cache_hits`, `cache_hit_ns`, `cache_misses`, `cache_miss_ns`. Durations
    are sums over requests, in nanoseconds. 64-bit integers may be strings, as protobuf's JSON
    mapping writes them. Those of the models in `composing` follow, as `composing/NAME/KEY`. Raises
    BackendError for what is no number.
    """
    found = _counters(statistics, name, version)
    for other in composing:
        parts = _counters(statistics, other)
        found |= {f"{COMPOSING}{other}/{key}": value for key, value in parts.items()}
    return found


def _counters(statistics: Mapping[str, object], name: str, version: str = "") -> dict[str, float]:
    versions = cast(Sequence[Mapping[str, object]], statistics.get("model_stats", ()))
    models = [m for m in versions if m.get("name") == name and version in ("", m.get("version"))]
    sums = {key: _sum(models, key) for key in _DURATIONS}
    return {
        "count": sums["success"][0], "success_ns": sums["success"][1],
        "failures": sums["fail"][0],
        "inferences": sum(_number(m, "inference_count") for m in models),
        "executions": sum(_number(m, "execution_count") for m in models),
        **{f"{phase}_ns": sums[phase][1] for phase in PHASES},
        "cache_hits": sums["cache_hit"][0], "cache_hit_ns": sums["cache_hit"][1],
        "cache_misses": sums["cache_miss"][0], "cache_miss_ns": sums["cache_miss"][1],
    }  # fmt: skip


def _sum(models: Iterable[Mapping[str, object]], key: str) -> tuple[float, float]:
    """(count, ns) of one duration over the versions of a model."""
    durations = [cast(Mapping[str, object], m.get("inference_stats", {})) for m in models]
    parts = [cast(Mapping[str, object], d.get(key, {})) for d in durations]
    return sum(_number(p, "count") for p in parts), sum(_number(p, "ns") for p in parts)


def _number(values: Mapping[str, object], key: str) -> float:
    found = cast(str | int, values.get(key, 0))
    with contextlib.suppress(TypeError, ValueError):
        if math.isfinite(float(found)):
            return float(found)
    raise BackendError(f"the server's statistics make no sense: '{key}' is {found!r}")


@dataclass(frozen=True, slots=True)
class Split:
    """What the server did between two readings."""

    count: int
    """Requests that succeeded."""
    server_us: Mapping[str, float] = field(default_factory=dict)
    """Mean microseconds a request by phase; empty when no request succeeded."""
    failures: int = 0
    executions: int = 0
    inferences: int = 0


def difference(after: Mapping[str, float], before: Mapping[str, float]) -> Split | None:
    """The window between two readings of `counters`, per request.

    None when a counter went backwards: the model or the server was restarted in between. The queue
    that an ensemble reports is its own; requests also wait for its parts. With composing models,
    `queue` is therefore all the time in the server that was not computing.
    """
    delta = {key: after[key] - before.get(key, 0.0) for key in after}
    if any(value < 0 for value in delta.values()):
        return None
    count = int(delta["count"])
    means = {phase: delta[f"{phase}_ns"] / count / 1e3 for phase in PHASES} if count else {}
    if means and any(key.startswith(COMPOSING) for key in delta):
        computing = sum(means[phase] for phase in PHASES if phase != "queue")
        means["queue"] = max(means["queue"], delta["success_ns"] / count / 1e3 - computing)
    return Split(
        count, means, int(delta["failures"]), int(delta["executions"]), int(delta["inferences"])
    )  # fmt: skip


def composing(
    after: Mapping[str, float], before: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """By composing model, what it did between two readings; empty where there is none.

    `count`, `failures`, `inferences`, `executions`, `cache_hits` and `cache_misses`, and mean
    microseconds a request of its own: `queue`, `compute_input`, `compute_infer`, `compute_output`
    (left out without requests). A model that was loaded again in between is left out.
    """
    found: dict[str, dict[str, float]] = {}
    keys = [key.removeprefix(COMPOSING) for key in after if key.startswith(COMPOSING)]
    for name in dict.fromkeys(key.rpartition("/")[0] for key in keys):
        prefix = f"{COMPOSING}{name}/"
        first, last = (
            {k.removeprefix(prefix): v for k, v in reading.items() if k.startswith(prefix)}
            for reading in (before, after)
        )
        split = difference(last, first)
        if split is not None:
            hits = {k: last[k] - first.get(k, 0.0) for k in LOOKUPS}
            found[name] = {
                "count": split.count, "failures": split.failures, "inferences": split.inferences,
                "executions": split.executions, **hits, **split.server_us,
            }  # fmt: skip
    return found
