"""A JSON line: a frozen dataclass that knows how it is written and read.

JSON has no infinities and no NaN: a line spells them `inf`, `-inf` and `nan`, and reading a float
field turns them back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.system.credentials import outward
from harness.system.files import jsonable
from harness.system.text import every_text

M = TypeVar("M")
_adapters: dict[type, TypeAdapter[Any]] = {}


def adapter(cls: type[M]) -> TypeAdapter[M]:
    """What reads, checks and writes a class; made once, when it is first used."""
    if cls not in _adapters:
        _adapters[cls] = TypeAdapter(cls)
    return _adapters[cls]


def first_mistake(error: Exception) -> str:
    """The first thing that is wrong, e.g. `latency_ms.p50: Input should be a valid number`."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}".removeprefix(": ")


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

        Raises TypeError when a field without a default is missing, or one has another type.
        """
        try:
            return adapter(cls).validate_python(event)
        except ValidationError as error:
            raise TypeError(first_mistake(error)) from None
