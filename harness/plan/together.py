"""What a run of `harness share` says to a plan: how many replicas hold the target on one card, and
who slows whom there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.plan.candidates import Candidate
from harness.plan.sizing import Demand, load_of
from harness.plan.units import measured, stated
from harness.report.model import blocks
from harness.tenants.predicted_tables import predicted_matrix
from harness.tenants.prediction import predictions
from harness.tenants.results import Results, read_results
from harness.tenants.settings import Mode
from harness.tenants.show import to_json
from harness.tenants.tables import answers, fit_table, matrix

SAID = ("answers", "interference", "predicted", "target")
"""Of what the run says as data: what a plan repeats."""


@dataclass(frozen=True, slots=True)
class Together:
    """A sharing run, for a plan."""

    found: Results

    def about(self, demand: Demand) -> tuple[str, str] | None:
        """Model and backend of the replicas that were tried together; None where the run has no
        target as strict as the demand's.
        """
        target = self.found.sharing.target
        if target is None or target.latency_p99_ms > demand.slo_p99_ms:
            return None
        tenant, scenario = self.found.sharing.tenant(target.tenant), self.found.scenario
        model = tenant.model or scenario.model
        return model.name, tenant.backend or str(scenario.backends[0].name)

    def most(
        self, model: str, candidate: Candidate, demand: Demand, *, mps: bool | None = None
    ) -> int | None:
        """Replicas that held the target on one card, each with at least the planned load; in the
        best mode, or of those by MPS or without. None where the run shows it of none.
        """
        if self.about(demand) != (model, candidate.backend):
            return None
        modes = [m for m in self.found.modes if mps in (None, m.kind == "mps")]
        load = load_of(candidate, demand)
        return max((self._held(mode, load) for mode in modes), default=0) or None

    def _held(self, mode: Mode, load: float) -> int:
        count = 0
        for tried in self.found.fits(mode):
            cell = tried.fit.cell
            rows = [self.found.rows.get(cell.of(seat)) for seat in cell.seats]
            rates = [row.throughput.value for row in rows if row and row.throughput]
            if tried.verdict != "holds" or min(rates, default=0.0) < load:
                break
            count = tried.fit.count
        return count

    def estimates(self, model: str, candidate: Candidate, demand: Demand) -> Iterator[str]:
        """Why it says nothing of the card's replicas."""
        about = self.about(demand)
        if about is None:
            yield (
                "how many replicas hold the target together: the sharing run has no target as "
                f"strict as p99 ≤ {stated(demand.slo_p99_ms)} ms"
            )
        elif about != (model, candidate.backend):
            yield (
                f"how many replicas hold the target together: the sharing run is of {about[0]} by "
                f"{about[1]}, and the plan of {model} by {candidate.backend}"
            )
        elif self.most(model, candidate, demand) is None:
            yield (
                "how many replicas hold the target together: the sharing run shows none that does "
                f"with {measured(load_of(candidate, demand))} inferences a second each"
            )

    def tables(self) -> Iterator[tuple[str, blocks.Table]]:
        """The heat maps, measured and predicted, and the counts against the target, with titles."""
        for mode in self.found.modes:
            if (table := matrix(self.found, mode)) is not None:
                yield f"Interference under {mode.words}", table
        for each in predictions(self.found):
            yield f"Predicted interference under {each.mode.words}", predicted_matrix(each)
        if self.found.sharing.target is not None:
            yield "How many replicas hold the target on one card", fit_table(self.found)

    @property
    def answers(self) -> list[str]:
        """A sentence each."""
        return list(answers(self.found))

    def to_json(self) -> Mapping[str, object]:
        """What a plan repeats of it as data."""
        said = to_json(self.found)
        return {"run": str(self.found.data.path), **{key: said[key] for key in SAID}}


def read_together(directory: Path) -> Together:
    """A sharing run by its directory. Raises UsageError where it is none."""
    try:
        return Together(read_results(directory))
    except UsageError as error:
        raise UsageError(
            f"--sharing: {error.message}", fix="give the directory of a run of `harness share`"
        ) from error
