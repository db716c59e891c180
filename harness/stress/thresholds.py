"""Thresholds judged: what holds, what does not, what can't be judged; exit code and JUnit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal
from xml.etree import ElementTree as ET

from harness.measure.quantiles import FLOORS
from harness.report.model.numbers import significant
from harness.stress.answers import Answers
from harness.stress.leak import Growth
from harness.stress.timeline import PhaseResult
from harness.swarm.settings import Thresholds
from harness.system.text import harmless

Verdict = Literal["holds", "broken", "unknown"]
BROKEN, UNKNOWN = 1, 4
"""Exit codes: a threshold is broken; one can't be judged, or part of the load was lost."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One threshold."""

    name: str
    limit: float
    value: float | None
    verdict: Verdict
    words: str

    def to_json(self) -> dict[str, object]:
        """A JSON-able dict; no finite value is no value."""
        finite = self.value is not None and math.isfinite(self.value)
        return {**asdict(self), "value": self.value if finite else None}


def judge(wanted: Thresholds, found: Answers, growth: Mapping[str, Growth | None]) -> list[Judged]:
    """Every threshold of the scenario; `growth` has `host` and `gpu`, None where not measured."""
    return [*_requests(wanted, found), *_recovery(wanted, found), *_memory(wanted, growth)]


def _row(name: str, limit: float, value: float | None, unit: str, lacks: str = "") -> Judged:
    if value is None:
        return Judged(name, limit, None, "unknown", lacks)
    verdict: Verdict = "holds" if value <= limit else "broken"
    sign = "≤" if value <= limit else ">"
    if unit == "%":
        return Judged(name, limit, value, verdict, f"{100 * value:.4g}% {sign} {100 * limit:g}%")
    shown = f"{value:.4g}" if value < 1e4 else significant(value)
    return Judged(name, limit, value, verdict, f"{shown} {sign} {limit:g} {unit}")


OF_REQUESTS: dict[str, tuple[str, Callable[[Answers | PhaseResult], float | None]]] = {
    "error_rate": ("%", lambda part: part.error_rate if part.requests else None),
    "latency_p99_ms": ("ms", lambda part: part.most_ms),
}
"""Threshold → its unit, and its figure of the whole run or of a phase; None without requests."""


def _requests(wanted: Thresholds, found: Answers) -> Iterator[Judged]:
    for name, (unit, figure) in OF_REQUESTS.items():
        for limit in getattr(wanted, name) or ():
            parts: list[Answers | PhaseResult] = [found]
            when = ""
            if limit.during is not None:
                when = f" during {limit.during}"
                parts = [p for p in found.phases if p.name == limit.during
                         or (limit.during == "step" and p.name.startswith("step "))]  # fmt: skip
            values = [(v, part.requests) for part in parts if (v := figure(part)) is not None]
            lacks = f"no request was made{when}"
            worst = max(values)[0] if values else None
            row = _row(name + when, limit.max, worst, unit, lacks)
            few = [n for _, n in values if unit == "ms" and n < FLOORS["p99"]]
            note = (
                f" (99 in 100 of {min(few):,} requests: p99 itself needs {FLOORS['p99']})"
                if few
                else ""
            )
            yield replace(row, words=row.words + note)


def _recovery(wanted: Thresholds, found: Answers) -> Iterator[Judged]:
    if wanted.recovery_s is None:
        return
    limit = wanted.recovery_s.max
    if not found.recoveries:
        lacks = "nothing to recover from, or nothing was answered before it"
        yield Judged("recovery_s", limit, None, "unknown", lacks)
    for r in found.recoveries:
        value = math.inf if r.seconds is None else r.seconds
        yield _row(f"recovery_s after {r.after}", limit, value, "s")


def _memory(wanted: Thresholds, growth: Mapping[str, Growth | None]) -> Iterator[Judged]:
    """Broken where even the interval's lower end is above, holds where the upper is below.

    What may be a cache that is not full yet breaks nothing: a longer soak must tell.
    """
    for what, limit in (("gpu", wanted.gpu_memory_growth_mib_per_hour),
                        ("host", wanted.host_memory_growth_mib_per_hour)):  # fmt: skip
        if limit is None:
            continue
        name, g = f"{what}_memory_growth_mib_per_hour", growth.get(what)
        if g is None:
            lacks = f"the {what} memory was not measured for a minute on end of one server"
            yield Judged(name, limit.max, None, "unknown", lacks)
            continue
        low, high = g.low, g.high
        verdict: Verdict = "holds" if high <= limit.max else \
            "broken" if low > limit.max and g.kind != "untold" else "unknown"  # fmt: skip
        words = f"{g.rate}, at most {limit.max:g}"
        more = f"; {g.longer(limit.max)}" if verdict == "unknown" else ""
        yield Judged(name, limit.max, g.slope, verdict, words + more)


def exit_code(judged: Sequence[Judged], found: Answers, status: str, lost: bool = False) -> int:
    """0 all hold; 1 one is broken, or the run ended early; 4 one can't be judged, or load was lost.

    `lost` says that a worker was, whether its requests can be counted or not; 130 is for a run that
    was interrupted.
    """
    if status == "interrupted":
        return 130
    if status != "complete" or any(j.verdict == "broken" for j in judged):
        return BROKEN
    unsure = any(j.verdict == "unknown" for j in judged) or lost
    return UNKNOWN if unsure or found.requests == found.failures else 0


def junit(name: str, judged: Sequence[Judged], why: str = "") -> str:
    """The thresholds as JUnit XML: a test case each; `why` says why the run ended early."""
    failures = sum(j.verdict == "broken" for j in judged) + bool(why)
    skipped = sum(j.verdict == "unknown" for j in judged)
    cases = len(judged) + bool(why)
    suite = ET.Element("testsuite", name=f"harness stress {name}", tests=str(cases),
                       failures=str(failures), errors="0", skipped=str(skipped))  # fmt: skip
    for j in judged:
        case = ET.SubElement(suite, "testcase", classname=name, name=j.name)
        if j.verdict == "broken":
            ET.SubElement(case, "failure", message=harmless(j.words))
        elif j.verdict == "unknown":
            ET.SubElement(case, "skipped", message=harmless(j.words))
        ET.SubElement(case, "system-out").text = harmless(j.words)
    if why:
        case = ET.SubElement(suite, "testcase", classname=name, name="the run went to its end")
        ET.SubElement(case, "failure", message=harmless(why))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
