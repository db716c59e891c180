"""Observers of a run, for tests in which nobody watches."""

from __future__ import annotations


class Silent:
    """An observer that takes no notice."""

    def __call__(self, event: object) -> None:
        """Take one event."""
