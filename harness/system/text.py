"""Text from outside: a server, a file, a scenario may say anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def every_text(value: object, change: Callable[[str], str]) -> object:
    """`value` with every text in it changed, in nested mappings (keys, too), lists and tuples."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {every_text(k, change): every_text(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [every_text(item, change) for item in value]
    return value
