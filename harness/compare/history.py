"""Many runs in one SQLite file: their values by point, and the versions that made them."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field, Json

from harness.compare.changepoints import change_points
from harness.compare.side import Side, backends_of, by_name, side_of
from harness.errors import SetupError, UsageError
from harness.results.line import adapter, first_mistake
from harness.results.store import RunData
from harness.scenario.metrics import PRIMARY
from harness.system.files import require_regular
from harness.system.paths import data_directory
from harness.system.text import every_text, harmless

SCHEMA_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL, created TEXT NOT NULL, scenario TEXT NOT NULL,
  backend TEXT NOT NULL, machine TEXT NOT NULL, conditions TEXT NOT NULL, versions TEXT NOT NULL,
  UNIQUE (created, scenario, backend, machine, conditions)
);
CREATE TABLE IF NOT EXISTS samples (
  run INTEGER NOT NULL REFERENCES runs (id), point TEXT NOT NULL, metric TEXT NOT NULL,
  value REAL NOT NULL, rounds INTEGER NOT NULL, PRIMARY KEY (run, point, metric)
);
"""
_FOREIGN = "SELECT type FROM sqlite_master WHERE type IN ('view', 'trigger')"
_SERIES = """
SELECT runs.scenario, runs.backend, runs.machine, runs.conditions, samples.point, samples.metric,
       runs.created, runs.path, runs.versions, samples.value
FROM samples JOIN runs ON runs.id = samples.run
ORDER BY runs.scenario, runs.backend, samples.point, samples.metric, runs.created, runs.id
"""


class _Row(NamedTuple):
    """A row of `_SERIES`."""

    scenario: str
    backend: str
    machine: str
    conditions: str
    point: str
    metric: Annotated[str, Field(pattern=f"^({'|'.join(PRIMARY)})$")]
    created: str
    path: str
    versions: Json[dict[str, str]]
    value: Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Observation:
    """One run in a series."""

    created: str
    path: str
    versions: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Change:
    """A new level begins with a run."""

    at: Observation
    share: float
    """The mean after over the mean before, −1, up to the neighbouring changes."""
    worse: bool
    versions: Mapping[str, tuple[str, str]]
    """What differs from the run before: package → before and after."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric of a point over the runs on one machine under the same conditions."""

    scenario: str
    backend: str
    machine: str
    conditions: str
    point: str
    metric: str
    runs: tuple[Observation, ...]
    changes: tuple[Change, ...]
    steps: tuple[int, ...] = ()
    """Places of the runs with which a new level begins, also within the metric's tolerance."""


def default_database() -> Path:
    """`history.sqlite` in the user's data directory."""
    return data_directory() / "history.sqlite"


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, made where there is none; what is done is kept unless something is raised.

    A view or a trigger in it could run for ever; ours has none. Raises SetupError where it can't be
    opened, UsageError where it is none, or of a newer version.
    """
    try:
        if path.exists():
            require_regular(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=30)
    except (OSError, sqlite3.Error) as error:
        raise SetupError(f"{path} can't be opened: {error}") from error
    with contextlib.closing(connection):
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise UsageError(f"{path} is of a newer version of the harness ({version})")
            if found := connection.execute(_FOREIGN).fetchone():
                raise ValueError(f"it has a {found[0]}")
            connection.executescript(f"{_TABLES} PRAGMA user_version = {SCHEMA_VERSION};")
            with connection:
                yield connection
        except (sqlite3.Error, ValueError) as error:
            why = first_mistake(error)
            raise UsageError(f"{path} is no history that can be used: {why}") from error


def add(path: Path, data: RunData) -> int:
    """Put a run into the history; how many of its backends are new there. Raises as `opened`."""
    added = 0
    with opened(path) as connection:
        for spec in backends_of(data):
            side = side_of(data, str(spec.get("name")))
            added += _add(connection, side, str(data.scenario.get("scenario", "")))
    return added


def _add(connection: sqlite3.Connection, side: Side, scenario: str) -> bool:
    row = connection.execute(
        "INSERT OR IGNORE INTO runs (path, created, scenario, backend, machine, conditions, "
        "versions) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (side.where, side.created, scenario, side.name, json.dumps(side.machine, sort_keys=True),
         side.digest, json.dumps({**side.versions, "GPU driver": side.driver})),
    )  # fmt: skip
    if not row.rowcount:
        return False
    for place, point in side.points.items():
        for key, values in point.values.items():
            if key in PRIMARY and not point.problem and not (point.open_loop and "through" in key):
                mean = math.fsum(map(math.log, values.values())) / len(values)
                connection.execute(
                    "INSERT INTO samples VALUES (?, ?, ?, ?, ?)",
                    (row.lastrowid, place, key, math.exp(mean), len(values)),
                )
    return True


def series_of(path: Path) -> list[Series]:
    """Every series with its changes. Raises as `opened`."""
    with opened(path) as connection:
        read = (dict(zip(_Row._fields, row, strict=True)) for row in connection.execute(_SERIES))
        rows = [adapter(_Row).validate_python(row) for row in read]
    found: dict[tuple[str, ...], list[Observation]] = {}
    for *key, created, where, versions, value in (every_text(row, harmless) for row in rows):
        run = Observation(created, where, versions, value)
        found.setdefault(tuple(key), []).append(run)
    return [_series(key, runs) for key, runs in found.items()]


def _series(key: tuple[str, ...], runs: Sequence[Observation]) -> Series:
    scenario, backend, machine, conditions, point, metric = key
    steps = change_points([math.log(run.value) for run in runs])
    return Series(scenario, backend, machine, conditions, point, metric, tuple(runs),
                  changes_of(metric, runs, steps), tuple(steps))  # fmt: skip


def changes_of(
    metric: str, runs: Sequence[Observation], steps: Sequence[int]
) -> tuple[Change, ...]:
    """The steps by more than the metric's tolerance, with the versions."""
    logs = [math.log(run.value) for run in runs]
    ends = [0, *steps, len(runs)]
    found = []
    for n, place in enumerate(steps, 1):
        before, after = logs[ends[n - 1] : place], logs[place : ends[n + 1]]
        shift = math.fsum(after) / len(after) - math.fsum(before) / len(before)
        if abs(shift) <= math.log1p(PRIMARY[metric].margin):
            continue
        old, new = runs[place - 1].versions, runs[place].versions
        worse = shift * PRIMARY[metric].sign < 0
        found.append(Change(runs[place], math.expm1(shift), worse, differing(old, new)))
    return tuple(found)


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Packages of other versions: before and after, empty where there is none."""
    old, new = by_name(old), by_name(new)
    return {
        name: (old.get(name, ""), new.get(name, ""))
        for name in sorted({*old, *new}) if old.get(name) != new.get(name)
    }  # fmt: skip
