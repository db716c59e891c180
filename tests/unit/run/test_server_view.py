"""From what a worker sends of the server's metrics to a row's details."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from support.paths import DATA

from harness.measure.agreement import server_view
from harness.measure.window import Window
from harness.results.samples import OK, Samples
from harness.triton.counters.scrape import Reading
from harness.triton.counters.statistics import counters

PAGES = json.loads((DATA / "triton/metrics.json").read_text())
STATS = [counters(PAGES["statistics"][end], "ident") for end in ("before", "after")]
MS = 1_000_000
READS = ((0, MS), (1000 * MS, 1001 * MS))


def window(after: dict[str, float] | None = None, **extra: float) -> Window:
    before = {**STATS[0], **dict.fromkeys(extra, 0.0)}
    last = {**(after or STATS[1]), **extra}
    return Window(MS // 2, 1000 * MS, False, before, last, reads_ns=READS)


def samples(count: int = 3) -> Samples:
    """Requests in the middle of the window: none is open at its ends."""
    sent = np.full(count, 300 * MS, np.int64)
    status = np.full(count, OK, np.uint8)
    return Samples(sent, sent, sent + 5 * MS, status, np.zeros(count, np.uint16))


def scraped(**changes: Any) -> dict[str, Any]:
    texts = zip(READS, (PAGES["before"], PAGES["after"]), strict=True)
    readings = [asdict(Reading(*at, True, text)) for at, text in texts]
    return {"readings": readings, "problem": "", "model": "ident", **changes}


def test_metrics_that_agree_are_kept_without_a_flag() -> None:
    details, findings = server_view(window(), samples(), scraped(), 1)
    assert findings == []
    assert details["metrics"]["requests"] == 3
    assert "composing" not in details
    json.dumps(details)


def test_metrics_that_disagree_with_the_statistics_are_flagged() -> None:
    more = {**STATS[1], "count": STATS[1]["count"] + 7}
    _, (finding,) = server_view(window(more), samples(), scraped(), 1)
    assert finding.flag == "metrics_disagree"
    assert "requests: 3 in the metrics, 10 in the statistics" in finding.seen


def test_counters_of_a_reloaded_model_are_judged_by_the_count_alone() -> None:
    """`count_mismatch` says that they were reset; there is nothing to compare with."""
    details, findings = server_view(window(dict.fromkeys(STATS[1], 0.0)), samples(), scraped(), 1)
    assert findings == []
    assert details["metrics"]["requests"] == 3


def test_what_could_not_be_read_is_said() -> None:
    for given, words in (
        (None, "metrics_url"),
        (scraped(problem="the server's metrics: HTTP 404"), "404"),
        (scraped(readings=[]), "both ends"),
    ):
        details, findings = server_view(window(), samples(), given, 1)
        assert words in details["metrics"]["problem"]
        assert findings == []


def test_composing_models_have_their_own_share() -> None:
    parts = {f"composing/part/{key}": value for key, value in STATS[1].items()}
    details, _ = server_view(window(**parts), samples(), scraped(), 1)
    assert details["composing"]["part"]["count"] == STATS[1]["count"]


def test_a_backend_without_a_server_has_nothing_to_say() -> None:
    assert server_view(Window(0, MS, False), samples(), None, 1) == ({}, [])
