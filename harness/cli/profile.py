"""`harness profile`: its arguments and one call stand in the room of what it does."""

from harness.profile.command import command

__all__ = ["command"]
