"""Do Triton's /metrics and its statistics API say the same about a window?

Both are written by the same code of the server when a request ends, so they may differ only by the
requests that ended between the two readings at an end of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from harness.measure.validity import Finding
from harness.measure.window import Window
from harness.results.details import PHASES, MeasurementDetails, ServerMetrics
from harness.results.samples import OK, Samples
from harness.triton.counters.metrics import at_ends, over_window
from harness.triton.counters.scrape import Reading
from harness.triton.counters.statistics import LOOKUPS, composing

Span = tuple[int, int]
LATE_NS = 5_000_000
"""Triton counts a request after it has answered: so long after, it may still be uncounted."""
CUT_US = 1.0
"""The metrics add whole microseconds, cut off, for each request."""


def open_between(samples: Samples, spans: Sequence[Span]) -> tuple[int, float]:
    """Requests that the server may have counted within one of `spans` (monotonic ns), and the
    microseconds that they took together.
    """
    seen = np.zeros(len(samples), bool)
    for begin, end in spans:
        seen |= (samples.sent <= end) & (samples.done + LATE_NS >= begin)
    return int(seen.sum()), float((samples.done - samples.sent)[seen].sum()) / 1e3


def check_agreement(
    found: ServerMetrics, counted: Mapping[str, float], samples: Samples, spans: Sequence[Span],
    batch_size: int,
) -> Iterator[Finding]:  # fmt: skip
    """Flag what can't be explained by when the two were read.

    `counted` is the statistics' difference over the window (keys of `statistics.counters`);
    `spans` reach from the beginning of the first of the two readings at an end of the window to
    the end of the second.
    """
    if found["reset"]:
        gone = ", ".join(found["reset"])
        yield Finding("metrics_disagree", f"went backwards in the window: {gone}")
        return
    requests, took_us = open_between(samples, spans)
    share = _of_others(counted["count"], samples, spans)
    edge, edge_us = 1 + requests * share, took_us * share
    cut = CUT_US * (counted["count"] + counted["failures"])
    pairs = [
        ("requests", found["requests"], counted["count"], edge),
        ("failed requests", sum(found["failures"].values()), counted["failures"], edge),
        ("inferences", found["inferences"], counted["inferences"], edge * batch_size),
        ("executions", found["executions"], counted["executions"], edge),
        *(
            (f"{phase} µs", found["duration_us"].get(phase), counted[f"{phase}_ns"] / 1e3,
             edge_us + cut + 1)
            for phase in PHASES
        ),
    ]  # fmt: skip
    wrong = [
        f"{name}: {ours:,.0f} in the metrics, {theirs:,.0f} in the statistics (±{allowed:,.0f})"
        for name, ours, theirs, allowed in pairs
        if ours is not None and abs(ours - theirs) > allowed
    ]
    if wrong:
        yield Finding("metrics_disagree", "; ".join(wrong))


def _of_others(count: float, samples: Samples, spans: Sequence[Span]) -> float:
    """By how much the server's requests outnumber ours: others may use it too."""
    begin, end = spans[0][0], spans[1][1]
    ours = int(((samples.status == OK) & (samples.done > begin) & (samples.done <= end)).sum())
    return max(1.0, count / max(1, ours))


NOT_READ = "the server's metrics were not read: `server: {metrics_url: …}` says where they are"


def server_view(
    window: Window, samples: Samples, scraped: Mapping[str, object] | None, batch_size: int
) -> tuple[MeasurementDetails, list[Finding]]:
    """For a row's details: `metrics` (or `{problem: …}`), `composing` (by
    model), `cache` (by `LOOKUPS`, where there is one); and what contradicts the statistics.
    Nothing for backends without a server.
    """
    if "count" not in window.before:
        return {}, []
    details: MeasurementDetails = {}
    parts = composing(window.after, window.before)
    if parts:
        details["composing"] = parts
    cache = {k: window.after.get(k, 0.0) - window.before.get(k, 0.0) for k in LOOKUPS}
    if sum(cache.values()) > 0:
        details["cache"] = cache
    details["metrics"], findings = _metrics(window, samples, scraped, batch_size)
    return details, findings


def _metrics(
    window: Window, samples: Samples, scraped: Mapping[str, object] | None, batch_size: int
) -> tuple[ServerMetrics, list[Finding]]:
    if scraped is None:
        return {"problem": NOT_READ}, []
    if scraped["problem"]:
        return {"problem": str(scraped["problem"])}, []
    try:
        readings = [Reading(**r) for r in cast(Sequence[dict[str, Any]], scraped["readings"])]
        found = over_window(readings, str(scraped["model"]))
    except (ValueError, ModuleNotFoundError) as error:
        return {"problem": f"the server's metrics can't be read: {error}"}, []
    counted = {key: window.after[key] - before for key, before in window.before.items()}
    findings = []
    if len(window.reads_ns) == 2 and all(value >= 0 for value in counted.values()):
        both = zip(at_ends(readings), window.reads_ns, strict=True)
        spans = [(min(r.begin_ns, begin), max(r.end_ns, end)) for r, (begin, end) in both]
        findings = list(check_agreement(found, counted, samples, spans, batch_size))
    return found, findings
