"""A part of a run that is measured on its own, on another GPU or machine: some of its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UsageError
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`th of `count` parts, from 0. The only one of one part is the whole run."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def whole(self) -> bool:
        """Whether it is all of the run."""
        return self.count == 1

    def rounds(self, planned: int) -> range:
        """Its part of the `planned` rounds. They are neighbours, since it is over neighbours that
        the order of measuring is balanced; the first shards have one more where they don't divide.
        """
        each, more = divmod(planned, self.count)
        begin = self.index * each + min(self.index, more)
        return range(begin, begin + each + (self.index < more))

    def has(self, round_: int, planned: int) -> bool:
        """Whether it measures a round; those beyond the planned ones are dealt out in turn."""
        if round_ < planned:
            return round_ in self.rounds(planned)
        return round_ % self.count == self.index

    def check(self, scenario: Scenario) -> None:
        """Raise UsageError where the rounds of a scenario can't be measured apart."""
        if self.whole:
            return
        if any(len(found) > 1 for found in configs(scenario).values()) or scenario.budget:
            what = "a budget" if scenario.budget else "a search"
            raise UsageError(
                f"{what} decides from what was measured what to measure next, so its rounds can't "
                f"be shared out",
                fix="take away the budget, and write one value where a backend holds a list",
            )
        if self.count > (rounds := scenario.measurement.rounds):
            raise UsageError(
                f"{rounds} rounds can't be shared out to {self.count}: each needs one at least",
                fix=f"raise measurement.rounds to {self.count} or a multiple of it",
            )


def shard_of(manifest: Mapping[str, object]) -> Shard:
    """The part of the run that a run directory holds, by its manifest."""
    found = manifest.get("shard")
    if not isinstance(found, Mapping):
        return Shard()
    return Shard(int(found.get("index", 0)), int(found.get("count", 1)))
