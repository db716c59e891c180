"""A scenario that is being translated: its keys, where they came from, how they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from harness.errors import Problem
from harness.migrate.table import STATUSES, BadValueError, G, Outcome, Row, Said
from harness.scenario.reading.tree import Mark
from harness.scenario.writing import flow, one_line

ORDER = ("scenario", "description", "model", "backends", "load", "measurement", "constraints",
         "objective", "search")  # fmt: skip


class Draft:
    """Keys by their path, `backends` standing for the one backend of the scenario."""

    def __init__(self, name: str, directory: Path, came_from: str) -> None:
        self.name = name
        self.directory = directory
        """Of the scenario that will be written: its paths are relative to it."""
        self.came_from = came_from
        self.data: dict[str, object] = {}
        self.origins: dict[str, str] = {}
        self.outcomes: list[Outcome] = []
        self.problems: list[Problem] = []
        self.files: dict[str, str] = {}
        """What is written beside the scenario: name → text."""

    @property
    def model(self) -> str:
        """The measured model's name."""
        return str(self.get("model.name"))

    def put(self, path: str, value: object, origin: str = "") -> None:
        """Set a key, whatever it was before; `origin` becomes its comment."""
        *above, last = path.split(".")
        here = self.data
        for step in above:
            below = here.setdefault(step, {})
            assert isinstance(below, dict)
            here = below
        here[last] = value
        if origin:
            self.origins[path] = origin

    def get(self, path: str) -> object:
        """A key's value; None where it is not set."""
        here: object = self.data
        for step in path.split("."):
            here = here.get(step) if isinstance(here, dict) else None
        return here

    def drop(self, path: str) -> None:
        """Take a key out, if it is there."""
        above, _, last = path.rpartition(".")
        holder = self.get(above) if above else self.data
        if isinstance(holder, dict):
            holder.pop(last, None)

    def relative(self, path: object) -> str:
        """A path of the working directory, as the scenario says it."""
        if not str(path):
            raise BadValueError("expected a path, found nothing")
        found = Path(str(path)).expanduser()
        return str(found) if found.is_absolute() else os.path.relpath(found, self.directory)

    def apply(
        self, row: Row[G], option: str, mark: Mark, call: Callable[[], Said | None] | None
    ) -> None:
        """Translate one option by its row, and note what became of it."""
        said = None
        try:
            said = call() if call else None
        except BadValueError as error:
            self.problem(mark, option, str(error))
            return
        status, note = (said.status, said.note) if said else (row.status, row.note)
        here = (said.here or row.here) if said else row.here
        self.outcomes.append(
            Outcome(mark, option, status, here if status == "translated" else "", note)
        )

    def problem(self, mark: Mark, option: str, message: str, suggestion: str | None = None) -> None:
        """Note a mistake at its place."""
        found = Problem(mark.file, mark.line, mark.column, option, message, suggestion)
        if found not in self.problems:
            self.problems.append(found)

    def text(self) -> str:
        """The scenario file: what has no counterpart above, where each key came from beside it."""
        return "\n".join([*(one_line(line) for line in self._head()), "", *self._body()]) + "\n"

    def _head(self) -> Iterator[str]:
        yield f"# Translated from {self.came_from} by `harness import`."
        for status, means in STATUSES.items():
            found = [o for o in self.outcomes if o.status == status and status != "translated"]
            if found:
                yield "#"
                yield f"# {status.capitalize()} ({means}):"
                yield from (f"#   {o.line}" for o in found)

    def _body(self) -> Iterator[str]:
        keys = [key for key in ORDER if key in self.data]
        assert len(keys) == len(self.data), set(self.data) - set(ORDER)
        for key in keys:
            value = self.data[key]
            if key == "backends" and isinstance(value, dict):
                yield "backends:"
                lines = list(self._mapping(value, "backends.", 4))
                yield from ["  - " + lines[0][4:], *lines[1:]]
            else:
                yield from self._entry(key, value, "", 0)

    def _mapping(self, value: Mapping[str, object], path: str, indent: int) -> Iterator[str]:
        for key, below in value.items():
            yield from self._entry(key, below, path, indent)

    def _entry(self, key: str, value: object, path: str, indent: int) -> Iterator[str]:
        origin = self.origins.get(path + key, "")
        comment = f" # {one_line(origin)}" if origin else ""
        start = " " * indent + flow(key) + ":"
        if isinstance(value, dict) and (path + key) in _BLOCKS:
            yield start + comment
            yield from self._mapping(value, f"{path}{key}.", indent + 2)
        elif isinstance(value, list) and path + key == "backends.colocated":
            yield start + comment
            for number, item in enumerate(value):
                lines = list(self._mapping(item, f"{path}{key}.{number}.", indent + 4))
                yield from [" " * (indent + 2) + "- " + lines[0].lstrip(), *lines[1:]]
        else:
            yield f"{start} {flow(value)}{comment}"


_BLOCKS = ("model", "backends.server", "backends.server.docker", "load", "measurement",
           "constraints")  # fmt: skip
