"""What the server says about a measurement besides its split: /metrics, composing models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.load.samples import Samples
from harness.measure.validity import Finding
from harness.measure.window import Window
from harness.triton.agreement import check_agreement
from harness.triton.metrics import over_window
from harness.triton.scrape import Reading
from harness.triton.statistics import composing

NOT_READ = "the server's metrics were not read: `server: {metrics_url: …}` says where they are"


def server_view(
    window: Window, samples: Samples, scraped: Mapping[str, Any] | None, batch_size: int
) -> tuple[dict[str, Any], list[Finding]]:
    """For a row's details: `metrics` (`WindowMetrics.to_json`, or `{problem: …}`) and `composing`
    (by model); and what contradicts the statistics. Nothing for backends without a server.
    """
    if "count" not in window.before:
        return {}, []
    details: dict[str, Any] = {}
    parts = composing(window.after, window.before)
    if parts:
        details["composing"] = parts
    details["metrics"], findings = _metrics(window, samples, scraped, batch_size)
    return details, findings


def _metrics(
    window: Window, samples: Samples, scraped: Mapping[str, Any] | None, batch_size: int
) -> tuple[dict[str, Any], list[Finding]]:
    if scraped is None:
        return {"problem": NOT_READ}, []
    if scraped["problem"]:
        return {"problem": scraped["problem"]}, []
    try:
        found = over_window([Reading(**r) for r in scraped["readings"]], scraped["model"])
    except (ValueError, ModuleNotFoundError) as error:
        return {"problem": f"the server's metrics can't be read: {error}"}, []
    counted = {key: window.after[key] - before for key, before in window.before.items()}
    findings = []
    if len(window.reads_ns) == 2 and all(value >= 0 for value in counted.values()):
        findings = list(check_agreement(found, counted, samples, window.reads_ns, batch_size))
    return found.to_json(), findings
