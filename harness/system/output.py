"""Standard output and error that may go away: what can't be written is lost, and ends nothing.

A reader leaves (`| head -1`), a disk is full, a terminal is closed: after the first such failure
everything goes to /dev/null. Who writes for a reader alone looks at `failure`; `main` turns that
of standard output into an exit code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping


class Output(io.TextIOWrapper):
    """One of the two; never raises an OSError."""

    failure: OSError | None = None
    """The first time that something could not be written."""

    def write(self, text: str) -> int:
        """Write, or lose it."""
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or lose it."""
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.failure = self.failure or error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)


def prepare() -> None:
    """Make this process's own streams such ones; those that somebody replaced stay as they are.

    A descriptor that is closed is opened: else the next file would have its number.
    """
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or type(stream) is io.TextIOWrapper:
            encoding = stream.encoding if stream is not None else "utf-8"
            binary = open(descriptor, "wb", closefd=False)  # noqa: SIM115
            lines = name == "stderr" or binary.isatty()
            setattr(sys, name, Output(binary, encoding, "replace", line_buffering=lines))


def print_json(command: str, values: Mapping[str, object]) -> None:
    """Print what a command found; the number of its `schema` changes when a key is renamed,
    removed or means something else (docs/json.md).
    """
    print(json.dumps({"schema": f"harness-{command}/1", **values}, indent=2))


def failure(stream: object) -> OSError | None:
    """Why the stream is lost, if it is one of these and is."""
    return stream.failure if isinstance(stream, Output) else None
