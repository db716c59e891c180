"""`harness plan`: its arguments and one call stand in the room of what it does."""

from harness.plan.command import command

__all__ = ["command"]
