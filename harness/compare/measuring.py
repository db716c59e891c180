"""Two backends of a scenario measured in blocks until it is decided which is better."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.summary import summarize
from harness.compare.judging import FEWEST_BUILDS, judge_blocks
from harness.compare.result import Verdict
from harness.compare.side import Side, backends_of, both, points_of
from harness.compare.verdicts import LOOKS
from harness.errors import UsageError
from harness.models.precision import in_own_precision
from harness.results.events import Observer
from harness.results.rows import FailureRow, MeasurementRow
from harness.results.store import read_run
from harness.run.execute import Ended, resume, start
from harness.run.rounds import Extra
from harness.scenario.reading.loader import LoadedScenario, load
from harness.scenario.spec.scenario import Scenario
from harness.system.text import harness_command

TURN = "100ms"
"""Of turns on the CPU: shorter than what else a machine does, longer than a few requests."""
MOST_ROUNDS = 2 * LOOKS[-1]
"""Also where half of the blocks are disturbed and don't count."""
Watch = AbstractContextManager[Observer]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Asks for a further block of what is not decided yet; looks after as many as it may only."""

    base: str
    candidate: str
    looks: tuple[int, ...] = LOOKS

    def extra(self) -> Extra:
        """For the run."""
        return Extra(
            self.open_points, MOST_ROUNDS, f"to tell {self.base} and {self.candidate} apart"
        )

    def open_points(
        self, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow], round_: int
    ) -> Collection[str]:
        """The points that the next round measures."""
        one, other = (self._side(name, rows, failures) for name in (self.base, self.candidate))
        points = judge_blocks(one, other)
        if any(p.verdict is Verdict.REGRESSION and self._looked_at(p.blocks) for p in points):
            return []
        open_ = [
            p.place for p in points
            if p.rows and p.blocks < self.looks[-1]
            and (p.verdict is Verdict.INCONCLUSIVE or not self._looked_at(p.blocks))
        ]  # fmt: skip
        return [f"{name}/{place}" for name in (self.base, self.candidate) for place in open_]

    def _looked_at(self, blocks: int) -> bool:
        return blocks in self.looks

    def _side(
        self, name: str, rows: Sequence[MeasurementRow], failures: Sequence[FailureRow]
    ) -> Side:
        points = points_of(summarize(rows, failures), (), name)
        return Side(name, "", "", {}, "", {}, {}, {}, points)


def begin(
    scenario: Path, overrides: tuple[str, ...], base: str | None, candidate: str | None,
    output: Path | None, watch: Watch, most: int = LOOKS[-1],
) -> tuple[Ended, Blocks]:  # fmt: skip
    """Measure the two backends alone, in at most so many blocks.

    Raises UsageError, ScenarioError, RunDirectoryError.
    """
    loaded, blocks = chosen(scenario, overrides, base, candidate, most)
    return start(loaded, output, watch, blocks.extra()), blocks


def chosen(
    scenario: Path, overrides: tuple[str, ...], base: str | None, candidate: str | None,
    most: int = LOOKS[-1],
) -> tuple[LoadedScenario, Blocks]:  # fmt: skip
    """The scenario with the two backends alone, and as many rounds as the first look takes."""
    loaded = load(scenario, overrides)
    own = in_own_precision(loaded.scenario, loaded.path.resolve().parent)
    specs = [b.model_dump(mode="json") for b in own.backends]
    names = both(specs, base, candidate)
    two = [next(s for s in specs if s["name"] == name) for name in names]
    written = [{k: v for k, v in s.items() if v is not None} for s in two]
    sets = (
        f"backends={json.dumps(written)}", f"measurement.rounds={LOOKS[0]}",
        f"measurement.rounds_max={LOOKS[0]}", f"measurement.interleave={_turns(own, names)}",
        "stress=null", "sharing=null",  # of backends that may be left out
    )  # fmt: skip
    return load(scenario, (*overrides, *sets)), Blocks(*names, _looks(two, most))


def _turns(scenario: Scenario, names: Collection[str]) -> str:
    """How long turns are to last. Raises UsageError where they are asked for and can't be taken."""
    two = [spec for spec in scenario.backends if spec.name in names]
    served = [spec.name for spec in two if spec.remote]
    asked = scenario.measurement.interleave
    if asked and served:
        raise UsageError(
            f"`measurement.interleave`: {served[0]} is served, and turns are taken by backends in "
            "the harness's own workers alone",
            fix="leave `interleave` out, or set it to 0s",
        )
    if asked is not None:
        return f"{asked}s"
    return "0s" if served or any(spec.on_gpu for spec in two) else TURN


def _looks(specs: Iterable[Mapping[str, object]], most: int) -> tuple[int, ...]:
    """Looks at as many blocks as may be; the first with enough engines, where each has its own."""
    fewest = FEWEST_BUILDS if any(s.get("rebuild") for s in specs) else 0
    return tuple(n for n in LOOKS if fewest <= n <= most) or (most,)


def finish(directory: Path, watch: Watch, most: int = LOOKS[-1]) -> tuple[Ended, Blocks]:
    """Go on with one that was interrupted. Raises UsageError where it compares no two."""
    specs = backends_of(read_run(directory))
    names = [str(s.get("name")) for s in specs]
    if len(names) != 2:
        raise UsageError(
            f"{directory} measures {len(names)} backends, not two that are compared",
            fix=harness_command("run", "--resume", directory),
        )
    blocks = Blocks(names[0], names[1], _looks(specs, most))
    return resume(directory, watch, extra=blocks.extra()), blocks
