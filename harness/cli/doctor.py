"""`harness doctor`: its arguments and one call stand in the room of what it does."""

from harness.doctor.command import command

__all__ = ["command"]
