"""`harness stress`: its arguments and one call stand in the room of what it does."""

from harness.stress.command import command

__all__ = ["command"]
