"""Text from outside: a server, a file, a scenario may say anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

T = TypeVar("T")

_HARMFUL = re.compile(
    "\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffe\uffff]"
)
"""Controls but tab and line break, what turns or breaks lines unseen, and what is no character."""


def harmless(text: str) -> str:
    """`text` with every control in it shown as its code, like \\x1b and \\u202e.

    So it moves no cursor, ends no file, and shows its characters in the order that they have.
    """
    return _HARMFUL.sub(lambda found: ascii(found[0])[1:-1], text)


def harness_command(*words: object) -> str:
    """A command of ours as it is typed into a shell: a path may have spaces."""
    return shlex.join(["harness", *map(str, words)])


def every_text(value: T, change: Callable[[str], str]) -> T:
    """`value` with every text in it changed, in nested mappings (keys, too), lists and tuples."""
    changed: object = value
    if isinstance(value, str):
        changed = change(value)
    elif isinstance(value, Mapping):
        changed = {every_text(k, change): every_text(v, change) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        parts = [every_text(item, change) for item in value]
        changed = parts if isinstance(value, list) else tuple(parts)
    return cast(T, changed)
