"""How perf_analyzer's loads, thresholds and windows become `load`, `constraints`, `measurement`.

A rule gets the command and the option as given. It puts keys into the draft and may say that this
one is not needed or refused; a bad value is a `BadValueError`.
"""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.migrate import values
from harness.migrate.arguments import Given
from harness.migrate.command import Command
from harness.migrate.table import BadValueError, Said, done, not_needed
from harness.system.files import read_bytes

PERCENTILES = (50, 90, 95, 99)
OPEN_END = 256
"""Where a concurrency range without an end is ended."""
LARGEST = 2**26
"""Bytes of a file of gaps: some ten million requests."""


def concurrency(command: Command, given: Given) -> Said | None:
    """A closed loop; `end` 0 means until the threshold, and a binary search becomes a sweep."""
    start, end, step = values.ends(given.value)
    first = values.integer(values.plain(start))
    command.draft.drop("load.request_rate")
    said = None
    if end == 0:
        found: list[int] = values.doubling(first, OPEN_END)
        said = done(f"without an end: powers of two up to {OPEN_END}; "
                    "loads above the threshold break the constraint")  # fmt: skip
    elif end is not None and command.given.get("binary-search"):
        found = sorted({first, *values.doubling(first, int(end)), int(end)})
        said = done("no binary search over concurrency: both ends and the powers of two between")
    elif end is None or end == start:
        found = [first]
    else:
        found = [values.integer(v) for v in values.span(start, end, step)]
    if found[-1] > 65_535:
        raise BadValueError(f"more than 65535 callers can't be run, found {found[-1]}")
    command.put("load.concurrency", found, given)
    return said


def old_concurrency(command: Command, given: Given) -> Said | None:
    """`-t N`: that many; `-d -c N`: from it to N."""
    wanted = values.integer(given.value)
    if given.name == "concurrent-requests":
        if not command.given.get("max-concurrency"):
            command.put("load.concurrency", [wanted], given)
        return None
    start = values.integer(command.value("concurrent-requests", "1"))
    found = [values.integer(v) for v in values.span(start, wanted, 1)]
    command.put("load.concurrency", found, given)
    return None


def rate(command: Command, given: Given) -> Said | None:
    """An open loop; with a binary search, or without an end, a search for the capacity."""
    start, end, step = values.ends(given.value)
    if start <= 0:
        raise BadValueError("a rate must be above 0")
    command.draft.drop("load.concurrency")
    asked = command.value("request-distribution", "constant")
    command.put("load.arrivals", values.word(asked, ("constant", "poisson")), given)
    threshold = float(values.number(command.value("latency-threshold", "0")))
    if end == 0 or (end is not None and command.given.get("binary-search")):
        if not threshold:
            raise BadValueError("such a search needs --latency-threshold above 0")
        percentile, _ = _percentile(command)
        target: dict[str, object] = {f"latency_{percentile}_ms": values.plain(threshold)}
        command.put("load.find_capacity", {**target, **({"max_rate": end} if end else {})}, given)
        return done("the highest rate that holds the threshold, with an interval",
                    "load.find_capacity")  # fmt: skip
    single = end is None or end == start
    command.put("load.request_rate", [values.plain(start)] if single
                else values.span(start, float(end or start), step), given)  # fmt: skip
    return None


def distribution(command: Command, given: Given) -> Said | None:
    """Checked here, used by the rate."""
    values.word(given.value, ("constant", "poisson"))
    if not command.given.get("request-rate-range"):
        return not_needed("perf_analyzer reads it with --request-rate-range only")
    return None


def intervals(command: Command, given: Given) -> Said | None:
    """A file of gaps in µs becomes a trace of arrival times in seconds, beside the scenario."""
    try:
        lines = read_bytes(Path(given.value).expanduser(), LARGEST).decode("utf-8").split()
    except (OSError, ValueError, RuntimeError, UsageError) as error:
        raise BadValueError(
            f"can't read '{given.value}': {getattr(error, 'strerror', None) or error}"
        ) from None
    if not lines:
        raise BadValueError(f"'{given.value}' has no intervals")
    at, times = 0.0, []
    for gap in lines:
        at += float(values.number(gap)) / 1e6
        times.append(f"{at:.6f}\n")
    name = f"{command.draft.name}.trace.txt"
    command.draft.files[name] = (
        f"# seconds after the start, from the gaps in {Path(given.value).name}\n" + "".join(times)
    )
    command.put("load.trace", name, given)
    command.draft.drop("load.concurrency")
    return done(f"its gaps became {len(times)} arrival times in {name}; it is not repeated")


def _percentile(command: Command) -> tuple[str, str]:
    """The percentile that stands for perf_analyzer's latency, and what to say of it."""
    wanted = values.integer(command.value("percentile", "-1"), -1)
    if wanted == -1:
        return "p50", "perf_analyzer holds the mean against it; here it is the median"
    if not 1 <= wanted <= 99:
        raise BadValueError(f"a percentile is from 1 to 99, found {wanted}")
    near = next(p for p in PERCENTILES if p >= wanted)
    return (
        f"p{near}",
        "" if near == wanted else f"p{wanted} is not judged here; p{near} is stricter",
    )


def threshold(command: Command, given: Given) -> Said | None:
    """A constraint, or the target of the capacity search."""
    limit = values.number(given.value)
    if not limit:
        return not_needed("0 is no limit")
    percentile, note = _percentile(command)
    if command.draft.get("load.find_capacity"):
        return done(note, f"load.find_capacity.latency_{percentile}_ms")
    command.put(f"constraints.latency_{percentile}_ms", {"max": limit}, given)
    return done(note, f"constraints.latency_{percentile}_ms")


def percentile(command: Command, given: Given) -> Said | None:
    """Checked here, used by the threshold."""
    _percentile(command)
    if not command.given.get("latency-threshold"):
        return not_needed("all percentiles are reported")
    return None


# ---------------------------------------------------------------------------------------- windows


def mode(command: Command, given: Given) -> None:
    """A window has a time and a count at once."""
    values.word(given.value, ("time_windows", "count_windows"))


def window(command: Command, given: Given) -> Said | None:
    """`-p`, in ms."""
    length = values.integer(given.value)
    if command.value("measurement-mode", command.mode).lower() == "count_windows":
        return not_needed("perf_analyzer reads it with time_windows only")
    command.put("measurement.window", f"{length}ms", given)
    if length > 60_000:
        command.draft.put("measurement.window_max", f"{length}ms", "not shorter than window")
    return None


def window_requests(command: Command, given: Given) -> Said | None:
    """Least number of requests in a window."""
    count = values.integer(given.value)
    if command.value("measurement-mode", command.mode).lower() != "count_windows":
        return not_needed("perf_analyzer reads it with count_windows only")
    command.put("measurement.window_requests", count, given)
    return None


def request_count(command: Command, given: Given) -> Said | None:
    """All requests of a measurement: at least as many here."""
    count = values.integer(given.value, 0)
    if not count:
        return not_needed("0 is no count")
    command.put("measurement.window_requests", count, given)
    return done("at least so many in each round; the window's time holds as well")


def warmup(command: Command, given: Given) -> Said | None:
    """Requests before the window."""
    count = values.integer(given.value, 0)
    if not count:
        return not_needed("0 is none; the profile warms up")
    command.put("measurement.warmup_requests", count, given)
    return None


def stability(command: Command, given: Given) -> None:
    """Percent in which values may differ → half-width of the interval over rounds."""
    share = float(values.number(given.value)) / 100
    if not share:
        raise BadValueError("must be above 0, found 0")
    targets = {"throughput": values.plain(share), "latency_p50": values.plain(share)}
    command.put("measurement.targets", targets, given)


def trials(command: Command, given: Given) -> Said | None:
    """At most so many rounds."""
    count = values.integer(given.value)
    if count > 1000:
        raise BadValueError(f"more than 1000 rounds are not run, found {count}")
    if count < 5:
        command.put("measurement.rounds", count, given)
    command.put("measurement.rounds_max", count, given)
    return done("one round gives no interval") if count == 1 else None
