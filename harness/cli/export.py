"""`harness export`: its arguments and one call stand in the room of what it does."""

from harness.export.command import command

__all__ = ["command"]
