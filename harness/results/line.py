"""A JSON line: a frozen dataclass that knows how it is written and read.

JSON has no infinities and no NaN: a line spells them `inf`, `-inf` and `nan`, and reading a float
field turns them back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from harness.system.credentials import outward
from harness.system.files import jsonable
from harness.system.text import every_text


@dataclass(frozen=True, slots=True)
class Line:
    """Base of every row and event; `EVENT` is what the line's `event` says."""

    EVENT: ClassVar[str] = ""

    def to_event(self) -> dict[str, object]:
        """The line as a dict that is valid JSON."""
        fields = {name: jsonable(value) for name, value in dataclasses.asdict(self).items()}
        return {"event": self.EVENT, **fields}

    def outward(self) -> Self:
        """The line as it may leave this process: see `credentials.outward`."""
        return self.from_event(every_text(self.to_event(), outward))

    @classmethod
    def from_event(cls, event: Mapping[str, object]) -> Self:
        """Read a line; keys this version does not know are left out.

        Raises TypeError when a field without a default is missing.
        """
        fields = [f for f in dataclasses.fields(cls) if f.name in event]
        return cls(**{f.name: _read(str(f.type), event[f.name]) for f in fields})


def _read(annotation: str, value: object) -> object:
    if "float" in annotation:
        value = _unspell(value)
    return tuple(value) if annotation.startswith("tuple") and isinstance(value, list) else value


def _unspell(value: object) -> object:
    if isinstance(value, Mapping):
        return {k: _unspell(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_unspell(v) for v in value)
    return float(value) if value in ("inf", "-inf", "nan") else value
