"""`harness init`: its arguments and one call stand in the room of what it does."""

from harness.init.command import command

__all__ = ["command"]
