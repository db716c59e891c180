"""Rows by what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def gathered(pairs: Iterable[tuple[K, T]]) -> dict[K, list[T]]:
    """What each key comes with, keys in the order in which they come first."""
    found: dict[K, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their key."""
    return gathered((key(item), item) for item in items)


def firsts(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The first item of each key."""
    return [group[0] for group in grouped(items, key).values()]
