"""The outputs of both versions on the same inputs, compared with each other.

Each was compared with the reference before it was timed. Two that both lie within the reference's
tolerance may still lie twice as far apart; here the base is what the candidate is compared with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.compare.subjects import Subject, Subjects
from harness.models.parity import Comparison, Rule, compare, loosest
from harness.models.tensors import Array


@dataclass(frozen=True, slots=True)
class Answers:
    """What came of it."""

    said: tuple[str, ...]
    """A sentence a batch size."""
    drift: str = ""
    """Where they are further apart than the tolerance: a verdict of its own."""


def compare_answers(both: Subjects, folder: Path) -> Answers:
    """Run both on the same inputs, each in a process of its own; files go into `folder`.

    Raises WorkerDiedError, DeadlineError, and what a backend raises.
    """
    one, other = (_Given.by(side, folder, both.parity.inputs) for side in both.pair())
    precision = loosest(both.base.precision, both.candidate.precision)
    rule = str(Rule.of(precision, both.parity))
    said, drifts = [], []
    for batch in both.base.batches:
        found, left_out = Comparison(), {*one.unstable, *other.unstable}
        same = True
        for variant in range(both.parity.inputs):
            a, b = one.of(batch, variant), other.of(batch, variant)
            found += compare(b, a, precision, both.parity, left_out)
            same &= all(n in b and np.array_equal(b[n], v) for n, v in a.items())
        said.append(f"batch {batch}: {_sentence(found, rule, same=same)}" + _noise(left_out))
        if not found.agrees:
            drifts.append(f"batch {batch}: the outputs are not the base's: {found.message}")
    return Answers(tuple(said), "; ".join(drifts))


def _sentence(found: Comparison, rule: str, *, same: bool) -> str:
    if same:
        return "both give the same outputs, bit by bit"
    if not found.values:
        return "no output of both could be compared"
    top1 = "" if found.top1 is None else f"; the same first class in {found.top1:.0%} of the rows"
    return (
        f"their outputs differ from each other by up to {found.max_abs:.2g}, {found.max_rel:.2g} "
        f"of the output's size (allowed: {rule}){top1}"
    )


def _noise(names: set[str]) -> str:
    listed = ", ".join(sorted(names))
    return f" (not compared: {listed}, which a side gives differently each time)" if names else ""


@dataclass(frozen=True, slots=True)
class _Given:
    """One side's outputs."""

    arrays: Mapping[str, Array]
    unstable: frozenset[str]

    @classmethod
    def by(cls, side: Subject, folder: Path, inputs: int) -> _Given:
        said = side.ask(
            "outputs", folder / f"outputs-{side.name}.log", folder / side.name, inputs=inputs
        )
        with np.load(said["file"]) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return cls(arrays, frozenset(said["unstable"]))

    def of(self, batch: int, variant: int) -> dict[str, Array]:
        """Output → array."""
        return dict(self._each(f"{batch}/{variant}/"))

    def _each(self, prefix: str) -> Iterator[tuple[str, Array]]:
        for key, array in self.arrays.items():
            if key.startswith(prefix):
                yield key.removeprefix(prefix), array
