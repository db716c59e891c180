"""`harness infer`: its arguments and one call stand in the room of what it does."""

from harness.infer.command import command

__all__ = ["command"]
