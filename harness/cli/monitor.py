"""`harness monitor`: its arguments and one call stand in the room of what it does."""

from harness.monitor.command import command

__all__ = ["command"]
