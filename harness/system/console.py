"""The console that tables and answers are printed on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 140


def wide_console() -> Console:
    """Standard output; wide enough for the tables where no terminal says how wide it is."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    return console
