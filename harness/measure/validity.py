"""Validity: the rules by which a number is flagged or not believed, each in words.

Thresholds are those of the measurement method; each rule says what it saw, so that a reader can
judge it. A flag in `INVALIDATES` makes a point INVALID: it is never ranked, plotted as good, or
used in a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.measure.steady import Steadiness
from harness.measure.transient import Leak
from harness.results.samples import OK, SHED, UNFINISHED, Int64, Samples


@dataclass(frozen=True, slots=True)
class Flag:
    """A rule that was broken, in words, and what follows."""

    short: str
    """What tables say; empty: its code."""
    words: str
    """What it means, in a sentence a newcomer understands."""
    effect: Literal["", "invalid", "wrong"] = ""
    """Whether a point is INVALID where half of its rounds or more carry it; and whether its
    configuration gives wrong answers, so that none of its points is a candidate."""
    outside: str = ""
    """Where its cause comes from outside the run: what to do. Such a round is disturbed: it is left
    out of the point's value and measured again, whatever its value is."""


FLAGS: dict[str, Flag] = {
    "few_requests": Flag("",
        "fewer requests finished than the percentiles need: some are n/a; a longer window helps"),
    "few_tail_episodes": Flag("p99 uncertain",
        "p99 rests on fewer than 40 slow stretches over all rounds and may be too low; below 16 it"
        " is a lower bound only; a longer window helps"),
    "window_cut": Flag("short measuring time",
        "the window ended at window_max before enough requests finished: a larger one helps"),
    "errors": Flag("requests failed",
        "some requests failed; percentiles count them as slower than everything else"),
    "all_failed": Flag("all requests failed",
        "no request succeeded within its time-out", effect="invalid"),
    "count_mismatch": Flag("client and server count differently",
        "client and server disagree on the number of requests in the window"),
    "metrics_disagree": Flag("the server's own figures differ",
        "the server's /metrics and its statistics differ about the window"),
    "no_telemetry": Flag("readings missing",
        "memory, processor time or the GPU could not be read: what is missing is n/a"),
    "foreign_load": Flag("machine was busy",
        "other processes used more than a tenth of the CPUs, or of the CPU quota, that this run "
        "may use",
        outside="end what else runs on the machine, or give the run CPUs of its own (taskset, a "
        "cpuset)"),
    "cpu_steal": Flag("CPU taken by other virtual machines",
        "the hypervisor gave more than 5 % of the CPU time that was wanted to others",
        outside="take a machine whose CPUs are not shared"),
    "cpu_quota": Flag("held back by the CPU quota",
        "the CPU quota of the control group was used up in more than 5 % of its periods: it held "
        "the run back"),
    "parity": Flag("outputs differ from the reference",
        "outputs disagree with the reference, or the server's model configuration; measured "
        "because the scenario says so", effect="wrong"),
    "wrong_outputs": Flag("",
        "outputs sampled under load disagree with the reference", effect="wrong"),
    "outputs_differ": Flag("wrong outputs at another point",
        "outputs of this configuration disagree with the reference at another of its points: none "
        "of them is a candidate", effect="invalid"),
    "colocated_invalid": Flag("co-located model invalid",
        "a co-located model can't be believed in this point: see there", effect="invalid"),
    "client_not_sending": Flag("load generator sent too little",
        "the load generator sent less than 99 % of what the schedule asked for", effect="invalid"),
    "client_late": Flag("load generator late",
        "the load generator sent requests too late: its own delay is in the numbers",
        effect="invalid"),
    "slots_full": Flag("requests waited for a free slot",
        "at times max_outstanding requests were open and later ones waited for the server: their "
        "response times hold the wait"),
    "client_busy": Flag("load generator busy",
        "the load generator used more than 80 % of a core: it may be the bottleneck",
        effect="invalid"),
    "client_near_ceiling": Flag("load generator near its limit",
        "the rate is above half of what the load generator reaches at all", effect="invalid"),
    "littles_law": Flag("figures contradict each other",
        "concurrency, throughput and latency contradict each other (Little's law)",
        effect="invalid"),
    "no_steady_state": Flag("drifted",
        "NO STEADY STATE: latency was still drifting within the window; a longer warm-up helps, or "
        "a longer window; where rounds drift both ways it is in their interval",
        effect="invalid"),
    "warm_up_leak": Flag("warm-up was not over",
        "the window begins with slow requests: the warm-up was not over, and they are in the "
        "numbers; a longer warm-up helps", effect="invalid"),
    "host_bound": Flag("CPU too slow to feed the GPU",
        "launching the work held the GPU back: the host needed more than 80 % of the computing "
        "time for it, or of the time of the one thread that begins all requests"),
    "throttled": Flag("GPU slowed by heat or power supply",
        "the GPU slowed its clocks down (temperature, power brake or hardware) in the window",
        outside="see to the GPU's cooling and power supply (nvidia-smi -q -d PERFORMANCE)",
        effect="invalid"),
    "power_cap": Flag("at the power cap",
        "at the power cap: the GPU's clocks were what its power limit allows"),
    "foreign_gpu_process": Flag("GPU was busy with another process",
        "another process used the GPU in the window",
        outside="end what else runs on the GPU (nvidia-smi lists it)", effect="invalid"),
    "from_cache": Flag("answered from a cache",
        "the server answered from its response cache: the numbers are the cache's, not the "
        "model's; switch it off in the config.pbtxt, or rank such points with `rank_cached: true`",
        effect="invalid"),
    "cache_hits": Flag("some answers from a cache",
        "answers came from the server's response cache, and the scenario ranks them"),
    "clock_spread": Flag("GPU clock varied",
        "the GPU's clock varied more than a steady load explains"),
}  # fmt: skip
"""Code → what it means; `failed_<reason>` is a round."""
WRONG = frozenset(code for code, flag in FLAGS.items() if flag.effect == "wrong")
INVALIDATES = frozenset(code for code, flag in FLAGS.items() if flag.effect)
OUTSIDE = {code: flag.outside for code, flag in FLAGS.items() if flag.outside}

FOREIGN_SHARE = 0.1
"""Of the processors, or of the quota."""
STOLEN_SHARE = 0.05
QUOTA_SHARE = 0.05
SENT_SHARE = 0.99
SLIP_FLOOR_NS = 1_000_000
SLIP_SHARE = 0.05
BUSY_PERCENT = 80.0
CEILING_SHARE = 0.5
CACHED_SHARE = 0.01
"""Of a model's requests: what fewer hits than that change lies within any interval."""
LITTLE_TOLERANCE = 0.1
"""Share of the concurrency that may be missing."""


def short(flag: str) -> str:
    """The flag in a few words: `drifted`, `p99 uncertain`."""
    return (flag in FLAGS and FLAGS[flag].short) or flag.replace("_", " ")


def causes(flags: Iterable[str]) -> list[str]:
    """Which of a round's flags come from outside; empty for one that was not disturbed."""
    return [flag for flag in flags if flag in OUTSIDE]


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that was broken: its flag, and what was seen."""

    flag: str
    seen: str


def open_requests(samples: Samples, begin_ns: int, end_ns: int) -> float:
    """Mean number of requests that were open in the window, integrated from the events.

    By Little's law that is throughput × latency: J. D. C. Little, Operations Research 9 (1961).
    """
    seen = samples.status != SHED
    sent, done = samples.sent[seen], samples.done[seen]
    overlap = np.clip(np.minimum(done, end_ns) - np.maximum(sent, begin_ns), 0, None)
    return float(overlap.sum()) / (end_ns - begin_ns)


def check_little(
    samples: Samples, begin_ns: int, end_ns: int, concurrency: int | None
) -> Iterator[Finding]:
    """Flag a closed loop that did not keep `concurrency` requests open (None: an open loop).

    What is missing is the generator's own time between an answer and the next request: it is in
    no latency, and makes the throughput smaller. A caller pauses after a failure, so where
    requests failed nothing is said.
    """
    if concurrency is None or (samples.status != OK).any():
        return
    found = open_requests(samples, begin_ns, end_ns)
    if abs(found - concurrency) > LITTLE_TOLERANCE * concurrency:
        yield Finding(
            "littles_law",
            f"{found:.3f} requests open on average (throughput × latency), not {concurrency}: the "
            f"generator took {100 * (1 - found / concurrency):.0f} % of the time for itself",
        )


def check_steady(steadiness: Steadiness) -> Iterator[Finding]:
    """Flag a window whose level was still moving."""
    if steadiness.steady:
        return
    shift = 100 * (steadiness.shift or 0.0)
    seen = f"mean latency moved by {shift:+.1f} % from the window's first half to its second"
    if steadiness.at_bound:
        seen = "MSER-5 would cut half of the window away: the warm-up was not over"
    yield Finding("no_steady_state", seen)


def check_warm_up(leak: Leak | None) -> Iterator[Finding]:
    """Flag a window that begins with what the warm-up should have taken."""
    if leak is not None:
        yield Finding(
            "warm_up_leak",
            f"the first {100 * leak.share:.0f} % of the window were {100 * leak.slower:.0f} % "
            "slower than the rest of it; make the warm-up longer",
        )


def sendable_ns(samples: Samples, began: NDArray[np.bool_]) -> Int64:
    """When each request could be sent: once due, and once its slot was free.

    An open loop gives a due request the slot that has been free for longest: where even that one
    was taken, all were, and what the request waited for is the server. Shape (requests,); of those
    that never `began` when they were due.
    """
    which = np.flatnonzero(began)
    which = which[np.lexsort((samples.sent[which], samples.caller[which]))]
    before, after = which[:-1], which[1:]
    ready = samples.scheduled.copy()
    freed = np.where(samples.caller[before] == samples.caller[after], samples.done[before], 0)
    ready[after] = np.maximum(ready[after], freed)
    return ready


def check_schedule(samples: Samples, begin_ns: int, end_ns: int) -> Iterator[Finding]:
    """Open loop: was everything sent, and in time?

    What found every slot taken when it was due waited for the server, and is no lateness of ours.
    """
    due = (samples.scheduled > begin_ns) & (samples.scheduled <= end_ns)
    offered = int(due.sum())
    if not offered:
        return
    began = ~np.isin(samples.status, (SHED, UNFINISHED))
    ready, tried = sendable_ns(samples, began), due & began
    sent = offered - int((tried & (ready <= end_ns) & (samples.sent > end_ns)).sum())
    if sent / offered < SENT_SHARE:
        yield Finding("client_not_sending", f"sent {sent} of {offered} requests that were due")
    good = tried & (samples.status == OK)
    if not good.any():
        return
    service = float(np.median((samples.done - samples.sent)[good]))
    limit = max(SLIP_FLOOR_NS, SLIP_SHARE * service)
    free = ready <= samples.scheduled
    p99 = float(np.quantile(np.where(free, samples.sent - samples.scheduled, 0)[tried], 0.99))
    if p99 > limit:
        yield Finding(
            "client_late",
            f"1 % of the requests left more than {p99 / 1e6:.2f} ms late "
            f"(allowed: {limit / 1e6:.2f} ms)",
        )
    waited = due & ((ready - samples.scheduled > limit) | (samples.status == UNFINISHED))
    if waited.any():
        yield Finding(
            "slots_full",
            f"{int(waited.sum())} of {offered} requests waited until the server had answered an "
            "earlier one",
        )


def check_cpus(
    foreign: float | None, stolen: float | None, throttled: float | None
) -> Iterator[Finding]:
    """What held the processors back in the window, as shares; None where it was not read."""
    for flag, share, limit, seen in (
        ("foreign_load", foreign, FOREIGN_SHARE, "others used {:.0f} % of the CPUs of this run"),
        ("cpu_steal", stolen, STOLEN_SHARE, "{:.0f} % of the CPU time was stolen"),
        ("cpu_quota", throttled, QUOTA_SHARE, "the quota was used up in {:.0f} % of its periods"),
    ):
        if share is not None and share > limit:
            yield Finding(flag, seen.format(100 * share))


def check_client(
    cpu_percent: float | None, rate: float, ceiling: float | None
) -> Iterator[Finding]:
    """Load generator in a process of its own: was it the bottleneck?"""
    if cpu_percent is not None and cpu_percent > BUSY_PERCENT:
        yield Finding("client_busy", f"the generator used {cpu_percent:.0f} % of a core")
    if ceiling is not None and rate > CEILING_SHARE * ceiling:
        yield Finding(
            "client_near_ceiling",
            f"{rate:.0f} requests/s; against a null server the generator reaches {ceiling:.0f}",
        )


def check_cache(hits: Mapping[str, tuple[float, float]], *, ranked: bool) -> Iterator[Finding]:
    """Flag a point that a response cache answered: by what, (hits, requests) on the server.

    `ranked`: the scenario wants such points beside the others.
    """
    seen = [
        f"{found / requests:.0%} of the requests to {what} ({found:,.0f} of {requests:,.0f})"
        for what, (found, requests) in hits.items()
        if requests and found > CACHED_SHARE * requests
    ]
    if seen:
        yield Finding("cache_hits" if ranked else "from_cache", "; ".join(seen))
