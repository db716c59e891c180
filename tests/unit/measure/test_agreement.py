"""What two readings of a server may differ by, and what a row's details say of them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from support.paths import DATA

from harness.measure.agreement import LATE_NS, check_agreement, open_between, server_view
from harness.measure.window import Window
from harness.results.details import ServerMetrics
from harness.results.samples import OK, Samples
from harness.triton.counters.scrape import Reading
from harness.triton.counters.statistics import counters

MS = 1_000_000
SPANS = [(100 * MS, 102 * MS), (1100 * MS, 1102 * MS)]


def steady(callers: int, took_ms: int = 10, length_ms: int = 1300) -> Samples:
    """Callers that each send the next request when they have their answer, from 0 on."""
    sent = np.repeat(np.arange(0, length_ms, took_ms), callers).astype(np.int64) * MS
    n = sent.size
    return Samples(
        sent, sent, sent + took_ms * MS, np.full(n, OK, np.uint8), np.zeros(n, np.uint16)
    )


def counted(requests: float, phase_us: float = 1000.0) -> dict[str, float]:
    """The statistics' difference: each phase took `phase_us` a request."""
    phases = ("queue", "compute_input", "compute_infer", "compute_output")
    return {
        "count": requests, "failures": 0, "inferences": 2 * requests, "executions": requests,
        **{f"{p}_ns": requests * phase_us * 1e3 for p in phases},
    }  # fmt: skip


def metrics(requests: float, phase_us: float = 1000.0) -> ServerMetrics:
    stats = counted(requests, phase_us)
    phases = ("queue", "compute_input", "compute_infer", "compute_output")
    return ServerMetrics(
        model="m", requests=requests, failures={}, inferences=2 * requests, executions=requests,
        duration_us={p: stats[f"{p}_ns"] / 1e3 for p in phases}, cache={}, pending={},
        pinned_mib={}, gpus={}, reset=(),
    )  # fmt: skip


def seen(found: ServerMetrics, stats: dict[str, float], samples: Samples) -> str:
    return "; ".join(f.seen for f in check_agreement(found, stats, samples, SPANS, 2))


def test_the_same_numbers_agree() -> None:
    assert seen(metrics(400), counted(400), steady(4)) == ""


def test_requests_that_were_open_at_an_end_may_be_in_one_reading_only() -> None:
    samples = steady(4)
    open_, _ = open_between(samples, SPANS)
    assert open_ == 4 * 2 * 2  # at each end those that end in the reading, and those after them
    assert seen(metrics(400 + open_), counted(400), samples) == ""
    assert "requests: 418 in the metrics, 400" in seen(metrics(418), counted(400), samples)


def test_a_request_counts_as_open_for_a_moment_after_its_answer() -> None:
    sent = np.array([0, 0], np.int64)
    done = np.array([100 * MS - LATE_NS, 100 * MS - LATE_NS - 1], np.int64)
    samples = Samples(sent, sent, done, np.zeros(2, np.uint8), np.zeros(2, np.uint16))
    assert open_between(samples, SPANS)[0] == 1


def test_each_number_is_compared() -> None:
    samples, stats = steady(4), counted(400)
    same = metrics(400)
    wrong: dict[str, ServerMetrics] = {
        "failed requests": {**same, "failures": {"BACKEND": 30.0}},
        "inferences": {**same, "inferences": 900.0},
        "executions": {**same, "executions": 100.0},
        "queue µs": {**same, "duration_us": {**same["duration_us"], "queue": 1e6}},
    }
    for name, found in wrong.items():
        assert seen(found, stats, samples).startswith(f"{name}: ")


def test_whole_microseconds_that_were_cut_off_are_no_contradiction() -> None:
    samples = steady(1, took_ms=1)
    stats, found = counted(1000, 100.9), metrics(1000, 100.0)
    assert seen(found, stats, samples) == ""
    assert "queue µs" in seen(metrics(1000, 80.0), stats, samples)


def test_what_is_not_known_is_not_compared() -> None:
    found: ServerMetrics = {
        **metrics(400), "requests": None, "executions": None, "duration_us": {},
    }  # fmt: skip
    assert seen(found, counted(400), steady(4)) == ""


def test_a_reset_is_said_and_nothing_else() -> None:
    found: ServerMetrics = {**metrics(5), "reset": ("nv_inference_count",)}
    assert seen(found, counted(400), steady(4)) == (
        "went backwards in the window: nv_inference_count"
    )


@pytest.mark.parametrize("others", [1, 9])
def test_on_a_shared_server_others_may_have_requests_open_too(others: int) -> None:
    samples = steady(4)
    total = 400.0 * (1 + others)
    edge = open_between(samples, SPANS)[0]
    assert seen(metrics(total + edge * others), counted(total), samples) == ""


# --------------------------------------------------- from what a worker sends to a row's details

PAGES = json.loads((DATA / "triton/metrics.json").read_text())
STATS = [counters(PAGES["statistics"][end], "ident") for end in ("before", "after")]
SCRAPES = ((0, MS), (1000 * MS, 1001 * MS))


def window(after: dict[str, float] | None = None, **extra: float) -> Window:
    before = {**STATS[0], **dict.fromkeys(extra, 0.0)}
    last = {**(after or STATS[1]), **extra}
    return Window(MS // 2, 1000 * MS, False, before, last, reads_ns=SCRAPES)


def in_the_middle(count: int = 3) -> Samples:
    """Requests in the middle of the window: none is open at its ends."""
    sent = np.full(count, 300 * MS, np.int64)
    status = np.full(count, OK, np.uint8)
    return Samples(sent, sent, sent + 5 * MS, status, np.zeros(count, np.uint16))


def scraped(**changes: Any) -> dict[str, Any]:
    texts = zip(SCRAPES, (PAGES["before"], PAGES["after"]), strict=True)
    readings = [asdict(Reading(*at, True, text)) for at, text in texts]
    return {"readings": readings, "problem": "", "model": "ident", **changes}


def test_metrics_that_agree_are_kept_without_a_flag() -> None:
    details, findings = server_view(window(), in_the_middle(), scraped(), 1)
    assert findings == []
    assert details["metrics"]["requests"] == 3
    assert "composing" not in details
    json.dumps(details)


def test_metrics_that_disagree_with_the_statistics_are_flagged() -> None:
    more = {**STATS[1], "count": STATS[1]["count"] + 7}
    _, (finding,) = server_view(window(more), in_the_middle(), scraped(), 1)
    assert finding.flag == "metrics_disagree"
    assert "requests: 3 in the metrics, 10 in the statistics" in finding.seen


def test_counters_of_a_reloaded_model_are_judged_by_the_count_alone() -> None:
    """`count_mismatch` says that they were reset; there is nothing to compare with."""
    details, findings = server_view(
        window(dict.fromkeys(STATS[1], 0.0)), in_the_middle(), scraped(), 1
    )
    assert findings == []
    assert details["metrics"]["requests"] == 3


def test_what_could_not_be_read_is_said() -> None:
    for given, words in (
        (None, "metrics_url"),
        (scraped(problem="the server's metrics: HTTP 404"), "404"),
        (scraped(readings=[]), "both ends"),
    ):
        details, findings = server_view(window(), in_the_middle(), given, 1)
        assert words in details["metrics"]["problem"]
        assert findings == []


def test_composing_models_have_their_own_share() -> None:
    parts = {f"composing/part/{key}": value for key, value in STATS[1].items()}
    details, _ = server_view(window(**parts), in_the_middle(), scraped(), 1)
    assert details["composing"]["part"]["count"] == STATS[1]["count"]


def test_a_backend_without_a_server_has_nothing_to_say() -> None:
    assert server_view(Window(0, MS, False), in_the_middle(), None, 1) == ({}, [])
