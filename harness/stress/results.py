"""Answers, thresholds and growth of memory together: what terminal, JSON and report show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.results.series import Quantity
from harness.stress.answers import Answers, answer, sentences
from harness.stress.leak import Growth, judge_growth
from harness.stress.memory import HARNESS
from harness.stress.store import StressRun, read_stress
from harness.stress.thresholds import Judged, exit_code, judge, junit
from harness.system.files import jsonable, write_text

RESULTS, JUNIT = "results.json", "junit.xml"
MIB = 2**20
SETTLE_S = 3.0
"""After a server was started again its memory is that of another process."""


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that is said of a run."""

    run: StressRun
    answers: Answers
    growth: Mapping[str, Growth]
    """`host`: the server's processes together; `gpu`: the device; and each process by its name."""
    judged: list[Judged]

    @property
    def exit_code(self) -> int:
        """See `harness.stress.thresholds.exit_code`."""
        outcome = self.run.outcome
        return exit_code(self.judged, self.answers, outcome.status, bool(outcome.lost))

    @property
    def name(self) -> str:
        """The scenario's."""
        return str(self.run.manifest["scenario"]["scenario"])

    @property
    def verdict(self) -> str:
        """Whether the thresholds hold, in a sentence."""
        missed = [f"{j.name} ({j.verdict})" for j in self.judged if j.verdict != "holds"]
        return f"Not held: {', '.join(missed)}." if missed else "Every threshold holds."

    def sentences(self) -> list[str]:
        """Whether the thresholds hold, the answers in words, and what memory does."""
        soak = self.run.stress.shape.kind in ("soak", "constant")
        shown = self.growth.items() if soak else ()
        verdict = [self.verdict] * bool(self.judged)
        grown = (growth.words(_what(name)) for name, growth in shown)
        return [*verdict, *sentences(self.run, self.answers), *grown]

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-able."""
        found = jsonable({
            "scenario": self.name, "status": self.run.outcome.status, "why": self.run.outcome.why,
            "exit_code": self.exit_code, "seconds": self.run.outcome.seconds,
            "answers": asdict(self.answers), "sentences": self.sentences(),
            "growth": {name: asdict(g) for name, g in self.growth.items()},
            "thresholds": [j.to_json() for j in self.judged], "faults": self.run.outcome.faults,
            "workers": self.run.outcome.joined, "lost": self.run.outcome.lost,
            "parity": [p.to_event() for p in self.run.outcome.parity],
            "notes": self.run.outcome.notes,
        })  # fmt: skip
        assert isinstance(found, dict)
        return found


def _what(name: str) -> str:
    names = {"host": "The server's memory", "gpu": "The GPU's memory",
             HARNESS: "The harness's own memory"}  # fmt: skip
    return names.get(name, f"Process {name}")


def results_of(directory: Path) -> Results:
    """From a run directory, whole or cut short. Raises RunDirectoryError."""
    run = read_stress(directory)
    found, grown = answer(run), growth(run)
    judged = judge(run.stress.thresholds, found, {n: grown.get(n) for n in ("host", "gpu")})
    return Results(run, found, grown, judged)


def write_results(found: Results) -> tuple[Path, Path]:
    """Write results.json and junit.xml; their paths."""
    directory, outcome = found.run.directory, found.run.outcome
    results, xml = directory / RESULTS, directory / JUNIT
    write_text(results, json.dumps(found.to_json(), indent=1, allow_nan=False))
    write_text(xml, junit(found.name, found.judged, outcome.early))
    return results, xml


def growth(run: StressRun) -> dict[str, Growth]:
    """The growth of the server's memory, of the device's, and of each process, while load went on.

    Growth of a process that did not live from the beginning to the end is not judged.
    """
    start, until = run.outcome.start_ns, run.outcome.seconds
    killed = [float(f["end"]) for f in run.outcome.faults if f["kind"] == "kill"]
    begin = max(killed, default=0.0) + (SETTLE_S if killed else 0.0)
    done = np.sort(run.samples.done)
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for process in run.memory:
        curves[process.name] = process.t_ns, process.resident / MIB
    for key, values in run.telemetry.items():
        if key.quantity is Quantity.HOST_BYTES:
            curves["host"] = values.t_ns, values.value / MIB
        elif key.quantity is Quantity.DEVICE_BYTES:
            curves.setdefault("gpu", (values.t_ns, values.value / MIB))
    found = {}
    for name in sorted(curves, key=lambda n: (n not in ("host", "gpu"), n == HARNESS, n)):
        t_ns, mib = curves[name]
        t = (t_ns - start) / 1e9
        inside = (t >= begin) & (t <= until)
        if not inside.any() or t[inside][0] > begin + 5 or t[inside][-1] < until - 5:
            continue
        count = np.searchsorted(done, t_ns[inside]).astype(float)
        judged = judge_growth(t[inside], mib[inside].astype(float), count)
        if judged is not None:
            found[name] = judged
    return found
