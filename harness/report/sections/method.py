"""How it was measured, in plain words with the resolved scenario's numbers."""

from __future__ import annotations

from harness.analysis.best import indifference_of
from harness.measure.quantiles import FLOORS
from harness.report.model.context import Context
from harness.report.model.labels import listed, rounds_text
from harness.report.model.manifest_facts import backend_specs, mapping, number, text
from harness.report.model.numbers import PERCENTILE_NAMES
from harness.report.model.prose import paragraphs
from harness.report.model.section import Prose, Section, Sentence, bold, compose
from harness.results.grouping import gathered
from harness.results.rows import CeilingRow, MeasurementRow


def section(context: Context) -> Section:
    """A paragraph a topic."""
    paragraphs = tuple(map(_lead, method(context)))
    return Section("method", "How it was measured", (Prose(paragraphs),))


def _lead(paragraph: str) -> Sentence:
    lead, _, rest = paragraph.partition(". ")
    return compose(bold(f"{lead}."), f" {rest}")


def method(context: Context) -> list[str]:
    """How the numbers came about: `templates/method.txt.j2` with the scenario's numbers."""
    measurement = mapping(context.scenario, "measurement")
    return paragraphs(
        "method.txt.j2",
        say={key: text(measurement, key) for key in _METHOD_KEYS},
        search_rounds=_search_rounds(context),
        done=sorted({str(r.rounds) for r in context.rows if r.rounds}),
        measured=rounds_text(context.rows),
        parts="shards" in context.manifest,
        turns=any("turns" in m.details for row in context.rows for m in row.measurements),
        closed_loop=not context.rows or any(r.concurrency is not None for r in context.rows),
        open_loop=context.open_loop or context.searched,
        clock=_clock(context),
        floors=", ".join(f"{PERCENTILE_NAMES[p]} {n:,}" for p, n in FLOORS.items()),
        indifference=f"{100 * indifference_of(context.scenario):g}",
        gpu_scope=_gpu_scope(context),
        memory_since=_memory_since(context),
        compared=listed(sorted({r.backend for r in context.rows if r.memory_compared})),
        ceilings=_ceilings(context),
        nearest=_nearest(context),
        false_alarms=_false_alarms(context),
    )


_METHOD_KEYS = (
    "rounds", "rounds_max", "seed", "warmup", "warmup_requests", "window", "window_requests",
    "window_max", "request_timeout", "distinct_inputs", "interleave",
)  # fmt: skip


def _search_rounds(context: Context) -> str:
    """In how many rounds a search measures what might be its best; empty where in no more."""
    most = number(mapping(context.scenario, "search"), "rounds_max")
    rounds = number(mapping(context.scenario, "measurement"), "rounds")
    more = context.names.varied and most is not None and rounds is not None and 1 < rounds < most
    return f"{most:g}" if more else ""


def _clock(context: Context) -> str:
    places = {str(b.get("io", "host")) for b in backend_specs(context.manifest)} or {"host"}
    words = {
        "host": "inputs start and outputs end in host memory, so copies to and from a device, and "
        "for Triton the network, are included",
        "device": "inputs and outputs stay on the device, so no copy is included",
        "shared_memory": "with shared memory the tensors lie where the server reads and writes "
        "them, and only their names travel",
        "cuda_shared_memory": "with CUDA shared memory the tensors lie on the GPU, where the "
        "server reads and writes them, and only their names travel",
    }
    return "; ".join(words.get(p, p) for p in sorted(places, reverse=True))


def _gpu_scope(context: Context) -> str:
    scopes = {m.gpu_memory_scope for r in context.rows for m in r.measurements}
    words = {
        "process": "that of the backend's own processes",
        "device": "the whole device's, less what it held before the backend was loaded",
    }
    return " or ".join(words.get(scope, scope) for scope in sorted(s for s in scopes if s))


def _memory_since(context: Context) -> dict[str, str]:
    """Whose points' memory is their own, and whose is a server's over all of its points."""
    since: dict[str, set[str]] = {"point": set(), "session": set()}
    for row in context.rows:
        for m in row.measurements:
            since.setdefault(str(m.details.get("memory_since")), set()).add(row.backend)
    return {begin: listed(sorted(backends)) for begin, backends in since.items()}


def ceiling_share(row: MeasurementRow) -> float | None:
    """Percent of the generator's ceiling that a measurement's rate reached; None without one."""
    ceiling = row.details.get("ceiling")
    seconds = (row.window_end_ns - row.window_begin_ns) / 1e9
    return 100 * row.requests / seconds / ceiling if ceiling and seconds > 0 else None


def _ceilings(context: Context) -> str:
    """What the load generator reached, by client and protocol."""
    limits = gathered(
        (f"{row.client} over {row.protocol}", rate)
        for row in context.data.rows(CeilingRow) if (rate := row.requests_per_s)
    )  # fmt: skip
    return listed(
        f"{min(v):,.0f}" + (f"–{max(v):,.0f}" if len(v) > 1 else "") + f" ({name})"
        for name, v in limits.items()
    )


def _nearest(context: Context) -> tuple[float, str]:
    """The point that came nearest to its generator's ceiling, and the share of it in percent."""
    known = ((ceiling_share(m), m.point) for m in context.data.measurements)
    return max(((share, point) for share, point in known if share is not None), default=(0.0, ""))


def _false_alarms(context: Context) -> str:
    """What `harness calibrate` had found on this machine when the run began; empty without."""
    from harness.analysis.calibrate import calibration_text

    try:
        return calibration_text(mapping(context.manifest, "calibration"))
    except (KeyError, TypeError, ValueError, AttributeError):  # none, or one by another version
        return ""
