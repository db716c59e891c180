"""How it was measured, in plain words with the resolved scenario's numbers."""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.best import indifference_of
from harness.measure.quantiles import FLOORS
from harness.report.model import manifest_facts, numbers
from harness.report.model.context import Context
from harness.report.model.labels import listed, rounds_text
from harness.report.model.section import Prose, Section, Sentence, bold, compose
from harness.results.rows import CeilingRow, MeasurementRow


def section(context: Context) -> Section:
    """A paragraph a topic."""
    paragraphs = tuple(map(_lead, method(context)))
    return Section("method", "How it was measured", (Prose(paragraphs),))


def _lead(paragraph: str) -> Sentence:
    lead, _, rest = paragraph.partition(". ")
    return compose(bold(f"{lead}."), f" {rest}")


def method(context: Context) -> list[str]:
    """How the numbers came about, in plain words with the resolved scenario's numbers."""
    measurement = manifest_facts.mapping(context.scenario, "measurement")
    say = {k: manifest_facts.text(measurement, k) for k in _METHOD_KEYS}
    floors = ", ".join(f"{numbers.PERCENTILE_NAMES[p]} {n:,}" for p, n in FLOORS.items())
    return [
        f"Rounds. {_rounds(context, say)}. Each round starts every backend in a fresh process and "
        f"visits the points in another order (seed {say['seed']}), so drift of the "
        "machine does not favour one backend.",
        f"Warm-up and window. Load ran for at least {say['warmup']} and {say['warmup_requests']} "
        f"requests before the window opened. The window lasted at least {say['window']}, went on "
        f"until {say['window_requests']} requests had finished, and ended after "
        f"{say['window_max']} at the latest. The load did not pause in between.",
        *_load(context, say),
        _clock(context),
        "Throughput. Successful inferences a second: requests a second × batch size.",
        "Percentiles. Exact, from the nanosecond time of every request, never from buckets. "
        "Failed requests count as slower than everything else, so a percentile among them reads "
        f"> timeout. A percentile is given only from so many requests a round: {floors}; below "
        "that it is n/a.",
        "Intervals. The round is the unit. A value is the geometric mean over the rounds, and its "
        "range is the 95% t-interval on their logarithms: if the whole run were repeated many "
        "times, 95 of 100 such ranges would hold the true value. With one round there is none.",
        "Differences. Two points differ when the 95% interval of their ratio excludes 1. The ratio "
        "is taken within rounds, whose luck all points share, and each point's scatter is drawn "
        "towards that of all points (empirical Bayes), since a few rounds say little of it. A "
        "point is named best only if it differs so from every other; else the tie is named, and of "
        "those measured within "
        f"{100 * indifference_of(context.scenario):g}% of the best the one that needs least memory "
        "is recommended. Failed and invalid points are not ranked.",
        "Memory. The largest sum over the backend's process tree in the window, sampled: a lower "
        "bound. MiB are 2^20 bytes, GiB 2^30. In the CSV files with Model Analyzer's columns MB "
        "are 10^6 bytes.",
        *_gpu_scope(context),
        *_memory_since(context),
        *_ceilings(context),
        *_self_test(context),
    ]


_METHOD_KEYS = (
    "rounds", "rounds_max", "seed", "warmup", "warmup_requests", "window", "window_requests",
    "window_max", "request_timeout", "distinct_inputs",
)  # fmt: skip


def _rounds(context: Context, say: Mapping[str, str]) -> str:
    """In how many rounds points were measured, and how many were asked for where that differs."""
    noun = "round" if say["rounds"] == "1" else "rounds"
    asked = f"{say['rounds']} {noun}{_more_rounds(say)}{_search_rounds(context)}"
    done = {r.rounds for r in context.rows if r.rounds}
    if not done:
        return f"Asked for were {asked}"
    if {say["rounds"]} == {str(number) for number in done}:
        return f"Points were measured in {asked}"
    return f"Points were measured in {rounds_text(context.rows)}; asked for were {asked}"


def _more_rounds(say: Mapping[str, str]) -> str:
    most = say["rounds_max"]
    if most in (manifest_facts.UNKNOWN, say["rounds"]):
        return ""
    return f", and in up to {most} where its intervals were too wide"


def _search_rounds(context: Context) -> str:
    most = manifest_facts.number(manifest_facts.mapping(context.scenario, "search"), "rounds_max")
    rounds = manifest_facts.number(
        manifest_facts.mapping(context.scenario, "measurement"), "rounds"
    )
    if not context.varied or most is None or rounds is None or not 1 < rounds < most:
        return ""
    return f", and in up to {most:g} where it might be the best config"


def _load(context: Context, say: Mapping[str, str]) -> list[str]:
    """The loops that were used, and what latency means in each."""
    loops = []
    if any(r.concurrency is not None for r in context.rows) or not context.rows:
        loops.append(
            "Closed loop. At concurrency N there are N callers, and each sends its next request "
            "when it has the answer to its last. Latency is the time from sending to having the "
            "complete answer."
        )
    if context.open_loop or context.searched:
        loops.append(
            "Open loop. Requests are due on a schedule made beforehand, whatever the server does. "
            "Latency is the time from when a request was due to having the complete answer, so "
            "waiting counts."
        )
    return [
        *loops,
        f"Requests. They cycle through {say['distinct_inputs']} distinct inputs; one without an "
        f"answer after {say['request_timeout']} counts as failed.",
    ]


def _clock(context: Context) -> str:
    places = {str(b.get("io", "host")) for b in manifest_facts.backend_specs(context.manifest)} or {
        "host"
    }
    words = {
        "host": "inputs start and outputs end in host memory, so copies to and from a device, and "
        "for Triton the network, are included",
        "device": "inputs and outputs stay on the device, so no copy is included",
        "shared_memory": "with shared memory the tensors lie where the server reads and writes "
        "them, and only their names travel",
        "cuda_shared_memory": "with CUDA shared memory the tensors lie on the GPU, where the "
        "server reads and writes them, and only their names travel",
    }
    said = "; ".join(words.get(p, p) for p in sorted(places, reverse=True))
    return f"Clock. {said[:1].upper()}{said[1:]}."


def _gpu_scope(context: Context) -> list[str]:
    scopes = {
        m.gpu_memory_scope for r in context.rows for m in r.measurements if m.gpu_memory_scope
    }
    words = {
        "process": "that of the backend's own processes",
        "device": "the whole device's, less what it held before the backend was loaded",
    }
    if not scopes:
        return []
    return ["GPU memory. It is " + " or ".join(words.get(s, s) for s in sorted(scopes)) + "."]


def _memory_since(context: Context) -> list[str]:
    """Which points' memory is their own, and which is a server's over all of its points."""
    since: dict[str, set[str]] = {}
    for row in context.rows:
        for m in row.measurements:
            since.setdefault(str(m.details.get("memory_since")), set()).add(row.backend)
    said = []
    if "point" in since:
        said.append("Before every point the backend gives back what earlier points left in caches.")
    if "session" in since:
        said.append(
            f"Memory of {listed(sorted(since['session']))} is the server's, which keeps what "
            "earlier points of the same round left: an upper bound for the point."
        )
    return [" ".join(["Memory between points.", *said])] if said else []


def ceiling_share(row: MeasurementRow) -> float | None:
    """Percent of the generator's ceiling that a measurement's rate reached; None without one."""
    ceiling = row.details.get("ceiling")
    seconds = (row.window_end_ns - row.window_begin_ns) / 1e9
    return 100 * row.requests / seconds / ceiling if ceiling and seconds > 0 else None


def _ceilings(context: Context) -> list[str]:
    """How far the load generator was from its own limit."""
    found = [r for r in context.data.rows(CeilingRow) if r.requests_per_s]
    if not found:
        return []
    limits: dict[str, list[float]] = {}
    for r in found:
        limits.setdefault(f"{r.client} over {r.protocol}", []).append(float(r.requests_per_s or 0))
    reached = listed(
        f"{min(v):,.0f}" + (f"–{max(v):,.0f}" if len(v) > 1 else "") + f" ({name})"
        for name, v in limits.items()
    )
    known = ((share, m.point) for m in context.data.measurements
             if (share := ceiling_share(m)) is not None)  # fmt: skip
    most, point = max(known, default=(0.0, ""))
    nearest = f" The nearest that a point came to it is {most:.2g}% ({point})." if point else ""
    return [
        "Load generator. Against a built-in server that only sends a prepared answer, with the "
        f"same requests and answers, it reaches {reached} requests a second on this machine, "
        "depending on batch and concurrency. A point whose rate is above half of that is invalid: "
        f"the generator may have been the limit.{nearest}"
    ]


def _self_test(context: Context) -> list[str]:
    """What `harness calibrate` had found on this machine when the run began."""
    from harness.analysis.calibrate import false_alarm_text

    found = manifest_facts.mapping(context.manifest, "calibration")
    try:
        said = false_alarm_text(found)
    except (KeyError, TypeError, ValueError, AttributeError):  # none, or one by another version
        return []
    return [
        f"Self-test. {said} A false alarm is a verdict of regression or improvement where the same "
        "thing was compared with itself; an effect is detectable if it is found four times in five."
    ]
