"""Rows by what they have in common."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their key, keys in the order in which they come first."""
    found: dict[K, list[T]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def firsts(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The first item of each key."""
    return [group[0] for group in grouped(items, key).values()]
