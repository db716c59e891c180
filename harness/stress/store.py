"""The directory of a stress run: written as it goes, read whole or not.

    manifest.json        as of every run, with `kind: stress`
    stress.json          `Outcome`: what was done and when; written again with each event
    samples/worker-N.bin raw records while the load goes (`harness.swarm.recorder`)
    requests.parquet     all requests, exact: scheduled, sent, done (ns), status, caller (worker)
    errors.parquet       of each failed request: done (ns) and what went wrong
    colocated/NAME.parquet  requests of a co-located model, made by the harness's own generator
    memory.parquet       resident bytes of each process
    telemetry.parquet    host and GPU, as of every run
    metrics.json         Triton's /metrics, a reading a second

A run that was cut short has no requests.parquet: its records are read from samples/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NotRequired, Self, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from harness.errors import RunDirectoryError
from harness.results import series, tables
from harness.results.details import Count, Size
from harness.results.line import adapter, first_mistake
from harness.results.rows import ParityRow
from harness.results.samples import OK, Samples, read_samples, write_samples
from harness.results.store import MANIFEST, read_run
from harness.stress.memory import ProcessMemory, read_memory
from harness.swarm.progress import read_records
from harness.swarm.recorder import Merged, merge
from harness.swarm.settings import Stress
from harness.system.files import jsonable, read_bytes, write_text
from harness.triton.counters.metrics import parse

KIND = "stress"
OUTCOME, SAMPLES, REQUESTS, ERRORS = "stress.json", "samples", "requests.parquet", "errors.parquet"
COLOCATED = "colocated"
MEMORY, TELEMETRY, METRICS = "memory.parquet", "telemetry.parquet", "metrics.json"
SCHEMA = 1
T = TypeVar("T")
E = TypeVar("E")
Seconds = Annotated[float, Field(ge=0, le=10**8)]


class Joined(TypedDict):
    """A worker, and by how much its clock may be off."""

    worker: Count
    host: str
    pid: NotRequired[Count]
    clock_error_ns: float


class Lost(TypedDict):
    """A worker that went missing."""

    worker: Count
    at: Seconds


class Fault(TypedDict):
    """As `harness.stress.faults.FaultRecord`."""

    kind: str
    asked: NotRequired[Seconds]
    begin: Seconds
    end: Seconds
    how: str
    problem: NotRequired[str]


class _Seed(TypedDict):
    seed: Count


class _Scenario(TypedDict):
    """What is read of the scenario in the manifest."""

    scenario: str
    backends: Sequence[Mapping[str, object]]
    measurement: _Seed
    stress: Stress


class _Reading(TypedDict):
    end_ns: Count
    text: str


class _Metrics(TypedDict, total=False):
    readings: Sequence[_Reading]
    problem: str | None


@dataclass(slots=True)
class Outcome:
    """What was done, and when; seconds are after the load began."""

    schema: int = SCHEMA
    status: str = "preparing"
    """preparing, running, complete, aborted, interrupted or failed."""
    why: str = ""
    """Of one that was aborted or failed."""
    start_ns: Count = 0
    """When the load began, monotonic ns of the machine that ran the master."""
    seconds: Seconds = 0.0
    """How long it went on."""
    workers: Size = 1
    joined: list[Joined] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    parity: list[ParityRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    served_name: str = ""
    batch_size: Size = 1

    @property
    def early(self) -> str:
        """How and why the run ended before its end, in words; empty for a whole one."""
        return "" if self.status == "complete" else f"{self.status}: {self.why}".rstrip(": ")

    def save(self, directory: Path) -> None:
        """Write it atomically."""
        write_text(directory / OUTCOME, json.dumps(jsonable(asdict(self)), indent=1))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what `save` wrote. Raises RunDirectoryError."""
        path = directory / OUTCOME
        try:
            found = json.loads(read_bytes(path))
            if found["schema"] > SCHEMA:
                raise RunDirectoryError(f"{path} was written by a newer harness")
            return adapter(cls).validate_python(found)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(f"{path} can't be read: {first_mistake(error)}") from error


@dataclass(frozen=True, slots=True)
class StressRun:
    """Everything that a stress run left."""

    directory: Path
    manifest: Mapping[str, Any]
    outcome: Outcome
    merged: Merged
    memory: list[ProcessMemory]
    telemetry: series.Readings
    metrics: Mapping[str, Any]
    colocated: Mapping[str, Samples] = field(default_factory=dict)
    """What the other models of the server were asked."""

    @property
    def stress(self) -> Stress:
        """The scenario's section, as it was run."""
        return Stress.model_validate(self.manifest["scenario"]["stress"])

    @property
    def seed(self) -> int:
        """Of the arrivals."""
        return int(self.manifest["scenario"]["measurement"]["seed"])

    @property
    def samples(self) -> Samples:
        """All requests."""
        return self.merged.samples


def is_stress(directory: Path) -> bool:
    """Whether it is the directory of a stress run."""
    return (directory / OUTCOME).is_file()


def write_colocated(directory: Path, name: str, samples: Samples) -> None:
    """The requests of a model beside the stressed one."""
    (directory / COLOCATED).mkdir(exist_ok=True)
    write_samples(directory / COLOCATED / f"{name}.parquet", samples, {"clock": "monotonic"})


def write_requests(directory: Path, merged: Merged, about: Mapping[str, str]) -> None:
    """All requests as one table, and what went wrong as another."""
    write_samples(directory / REQUESTS, merged.samples, about)
    failed = merged.samples.status != OK
    kinds = [merged.kinds[k] for k in merged.kind[failed]]
    columns = {"done": merged.samples.done[failed], "kind": kinds}
    tables.write_table(directory / ERRORS, pa.table(columns, _errors()))


def _errors() -> pa.Schema:
    return pa.schema({"done": pa.int64(), "kind": pa.string()})


def _merged(directory: Path) -> Merged:
    if not (directory / REQUESTS).exists():
        return merge(read_records(directory / SAMPLES))
    samples = read_samples(directory / REQUESTS)
    names = tables.read_table(directory / ERRORS, _errors())["kind"].to_pylist()
    kinds = ("", *dict.fromkeys(names))
    numbers = {name: i for i, name in enumerate(kinds)}
    kind = np.zeros(len(samples), np.uint16)
    kind[samples.status != OK] = [numbers[n] for n in names]
    return Merged(samples, kinds, kind)


def read_stress(directory: Path) -> StressRun:
    """Read a run, whole or cut short. Raises RunDirectoryError where it is none or damaged; what a
    report can do without is left out, and a note says so.
    """
    if not is_stress(directory):
        raise RunDirectoryError(f"{directory} is no directory of `harness stress`")
    outcome, merged = Outcome.read(directory), _merged(directory)
    done = merged.samples.done
    if outcome.start_ns and not outcome.seconds and len(done):  # it was killed
        outcome.seconds = max(0.0, (int(done.max()) - outcome.start_ns) / 1e9)

    def optional(name: str, read: Callable[[Path], T], empty: E) -> T | E:
        try:
            return read(directory / name) if (directory / name).exists() else empty
        except RunDirectoryError as error:
            outcome.notes.append(f"{error.message}; it was left out")
            return empty

    return StressRun(
        directory, _read_manifest(directory), outcome, merged,
        optional(MEMORY, read_memory, []), optional(TELEMETRY, series.read_parquet, {}),
        optional(METRICS, _read_metrics, {}), {
            path.stem: samples for path in sorted((directory / COLOCATED).glob("*.parquet"))
            if (samples := optional(f"{COLOCATED}/{path.name}", read_samples, None)) is not None
        },
    )  # fmt: skip


def _read_manifest(directory: Path) -> Mapping[str, Any]:
    manifest = read_run(directory).manifest
    try:
        adapter(_Scenario).validate_python(manifest.get("scenario"))
    except ValidationError as error:
        why = first_mistake(error)
        raise RunDirectoryError(f"{directory / MANIFEST}: scenario.{why}") from error
    return manifest


def _read_metrics(path: Path) -> Mapping[str, Any]:
    try:
        found = adapter(_Metrics).validate_python(json.loads(read_bytes(path)))
        for reading in found.get("readings", ()):
            parse(reading["text"])
    except (OSError, ValueError) as error:  # pydantic's too
        raise RunDirectoryError(f"{path} is damaged: {first_mistake(error)}") from error
    return found
