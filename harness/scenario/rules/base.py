"""What rules are made of: a broken one, and words for its message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

Loc = tuple[str | int, ...]
T = TypeVar("T")
SOURCE_KINDS = ("torch", "onnx", "exported_program", "engine", "triton", "fake")
BATCH = "batch"
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""The name of a dimension."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that doesn't hold: where, and in words. `on_key` puts the mark on the key."""

    loc: Loc
    message: str
    on_key: bool = False
    lacks: tuple[str, ...] = ()
    """Keys of the mapping at `loc` that would mend it: a misspelt one is mistake enough."""


def under(loc: Loc, broken: Iterable[Broken]) -> Iterator[Broken]:
    """The same, seen from a mapping further out."""
    return (replace(b, loc=(*loc, *b.loc)) for b in broken)


def remove(key: str | int, message: str, *loc: str | int) -> Broken:
    """A key that can't be used here."""
    return Broken((*loc, key), f"{message}; remove it", on_key=True)


def twice(values: Iterable[T]) -> Iterator[tuple[int, T]]:
    """Index and value of what was there before."""
    seen: list[T] = []
    for index, value in enumerate(values):
        if value is not None and value in seen:
            yield index, value
        seen.append(value)


def repeated(key: str, values: object) -> Iterator[Broken]:
    """What stands twice in a list; anything else has no rule."""
    for index, value in twice(values) if isinstance(values, tuple) else ():
        yield Broken((key, index), f"{shown(value)} is there twice")


def shown(value: object) -> str:
    """A value in a message, as it was written; `the same` for what has no short form."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float | str) else "the same"


def with_article(noun: str) -> str:
    """`a triton`, `an onnxruntime`."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def any_of(words: tuple[str, ...]) -> str:
    """`a`, `b` or `c`, for a message."""
    *most, last = (f"`{word}`" for word in words)
    return f"{', '.join(most)} or {last}" if most else last
