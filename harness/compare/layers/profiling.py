"""Profiles of both versions in blocks: a fresh process each, in an order that alternates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.compare.layers.matching import Blocks, Profile
from harness.compare.subjects import Subjects
from harness.errors import UsageError
from harness.run.order import balanced

BLOCKS, RUNS = 9, 40
Tell = Callable[[str], None]


def profile_blocks(
    both: Subjects, folder: Path, tell: Tell, blocks: int = BLOCKS, runs: int = RUNS
) -> Blocks:
    """Both, `blocks` times, at the first batch size; an engine with `rebuild` is built each time.

    Traces go into `folder`. Raises UsageError for runtimes without layers in common,
    WorkerDiedError, DeadlineError, and what a backend raises.
    """
    kinds = [s.kind for s in both.pair()]
    if kinds[0] != kinds[1]:
        raise UsageError(f"the layers of `{kinds[0]}` and `{kinds[1]}` have nothing in common")
    found = []
    for block in range(blocks):
        tell(f"profiling block {block + 1} of {blocks}")
        sides = {}
        for side in balanced(both.pair(), block, "layers"):
            said = side.ask(
                "layers", folder / f"layers-{side.name}.log", folder / side.name,
                batch=side.batches[0], runs=runs,
            )  # fmt: skip
            sides[side.name] = Profile.of(said)
        found.append((sides[both.base.name], sides[both.candidate.name]))
    return found
