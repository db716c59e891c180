"""`harness share`: its arguments and one call stand in the room of what it does."""

from harness.tenants.command import command

__all__ = ["command"]
