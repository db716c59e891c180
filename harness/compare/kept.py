"""What was looked at from close, kept in the run directory: a later comparison shows it again.

`compare/BASE--CANDIDATE.json` has both sides' outputs in words, and each block's layers and times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from harness.compare.answers import Answers
from harness.compare.layers.matching import Blocks, Profile, judge_layers
from harness.compare.result import Comparison
from harness.errors import RunDirectoryError
from harness.results.line import first_mistake
from harness.system.files import jsonable, read_bytes, write_text

FOLDER = "compare"
SCHEMA_VERSION = 1
Said = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """Of two backends of a run."""

    answers: Answers | None = None
    layers: Sequence[tuple[Said, Said]] = ()
    """Both profiles of each block, as `Profile` writes them."""
    schema_version: int = SCHEMA_VERSION

    def with_layers(self, blocks: Blocks) -> Self:
        """The same with these."""
        return replace(self, layers=[(a.to_json(), b.to_json()) for a, b in blocks])

    def into(self, found: Comparison) -> Comparison:
        """The comparison with it."""
        if self.answers is not None:
            drift = "; ".join(filter(None, (found.drift, self.answers.drift)))
            found = replace(found, outputs=(*found.outputs, *self.answers.said), drift=drift)
        if len(self.layers) > 1:
            found = replace(
                found, layers=judge_layers([(Profile.of(a), Profile.of(b)) for a, b in self.layers])
            )
        return found


_KEPT = TypeAdapter(Kept)


def file_of(run: Path, base: str, candidate: str) -> Path:
    """Where it is kept."""
    return run / FOLDER / f"{base}--{candidate}.json"


def keep(run: Path, base: str, candidate: str, kept: Kept) -> None:
    """Write it. Raises OSError."""
    file = file_of(run, base, candidate)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(jsonable(asdict(kept))) + "\n")


def read_kept(run: Path, base: str, candidate: str) -> Kept:
    """What is there; nothing where nothing is. Raises RunDirectoryError where it can't be read."""
    file = file_of(run, base, candidate)
    if not file.is_file():
        return Kept()
    try:
        kept = _KEPT.validate_json(read_bytes(file))
    except ValidationError as error:
        raise RunDirectoryError(f"{file} can't be read: {first_mistake(error)}",
                                fix="remove it, or profile again: --layers") from None  # fmt: skip
    if kept.schema_version != SCHEMA_VERSION:
        raise RunDirectoryError(f"{file} is of another version of the harness", fix="remove it")
    return kept
