"""What rules are made of: a broken one, and ways to look at data of any shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

Data = Mapping[str, Any]
Loc = tuple[str | int, ...]
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


def each(value: Any, key: str, rule: Any) -> Iterator[Broken]:
    """A rule on each mapping of the list at `key`."""
    for index, item in enumerate(as_list(value)):
        if is_map(item):
            yield from under((key, index), rule(item))


def is_map(value: Any) -> bool:
    """Whether it has keys."""
    return isinstance(value, Mapping)


def as_map(value: Any) -> Data:
    """The mapping, or an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """As `schema` reads lists: one value stands for a list of one."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def as_word(value: Any) -> str:
    """The text, or none in place of anything else."""
    return value if isinstance(value, str) else ""


def as_numbers(value: Any) -> list[Any]:
    """The numbers of a list, or of one value."""
    return [v for v in as_list(value) if isinstance(v, int | float) and not isinstance(v, bool)]


def twice(words: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Index and value of what was there before."""
    seen: list[Any] = []
    for index, word in enumerate(words):
        if word is not None and word in seen:
            yield index, word
        seen.append(word)


def with_article(noun: str) -> str:
    """`a triton`, `an onnxruntime`."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def any_of(words: tuple[str, ...]) -> str:
    """`a`, `b` or `c`, for a message."""
    *most, last = (f"`{word}`" for word in words)
    return f"{', '.join(most)} or {last}" if most else last
