"""The directory of a stress run: written as it goes, read whole or not.

    manifest.json        as of every run, with `kind: stress`
    stress.json          `Outcome`: what was done and when; written again with each event
    samples/worker-N.bin raw records while the load goes (`harness.stress.recorder`)
    requests.parquet     all requests, exact: scheduled, sent, done (ns), status, caller (worker)
    errors.parquet       of each failed request: done (ns) and what went wrong
    memory.parquet       resident bytes of each process
    telemetry.parquet    host and GPU, as of every run
    metrics.json         Triton's /metrics, a reading a second

A run that was cut short has no requests.parquet: its records are read from samples/.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from harness.errors import RunDirectoryError
from harness.results import series, tables
from harness.results.samples import OK, Samples, read_samples, write_samples
from harness.results.store import read_run
from harness.stress.memory import ProcessMemory, read_memory
from harness.stress.progress import read_records
from harness.stress.recorder import Merged, merge
from harness.stress.settings import Stress
from harness.system.files import read_bytes, write_text

KIND = "stress"
OUTCOME, SAMPLES, REQUESTS, ERRORS = "stress.json", "samples", "requests.parquet", "errors.parquet"
MEMORY, TELEMETRY, METRICS = "memory.parquet", "telemetry.parquet", "metrics.json"
SCHEMA = 1


@dataclass(slots=True)
class Outcome:
    """What was done, and when; seconds are after the load began."""

    schema: int = SCHEMA
    status: str = "preparing"
    """preparing, running, complete, aborted, interrupted or failed."""
    why: str = ""
    """Of one that was aborted or failed."""
    start_ns: int = 0
    """When the load began, monotonic ns of the machine that ran the master."""
    seconds: float = 0.0
    """How long it went on."""
    workers: int = 1
    joined: list[dict[str, Any]] = field(default_factory=list)
    """Workers: number, host, pid, by how much its clock may be off (ns)."""
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Workers that went missing: number, seconds."""
    faults: list[dict[str, Any]] = field(default_factory=list)
    parity: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    served_name: str = ""
    batch_size: int = 1

    @property
    def early(self) -> str:
        """How and why the run ended before its end, in words; empty for a whole one."""
        return "" if self.status == "complete" else f"{self.status}: {self.why}".rstrip(": ")

    def save(self, directory: Path) -> None:
        """Write it atomically."""
        write_text(directory / OUTCOME, json.dumps(asdict(self), indent=1, allow_nan=False))

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read what `save` wrote. Raises RunDirectoryError."""
        path = directory / OUTCOME
        try:
            found = json.loads(read_bytes(path))
            if found["schema"] > SCHEMA:
                raise RunDirectoryError(f"{path} was written by a newer harness")
            return cls(**{k: v for k, v in found.items() if k in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunDirectoryError(f"{path} can't be read: {error}") from error


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
    """Read a run, whole or cut short. Raises RunDirectoryError where it is none or damaged."""
    if not is_stress(directory):
        raise RunDirectoryError(f"{directory} is no directory of `harness stress`")
    metrics, outcome, merged = directory / METRICS, Outcome.read(directory), _merged(directory)
    done = merged.samples.done
    if outcome.start_ns and not outcome.seconds and len(done):  # it was killed
        outcome.seconds = max(0.0, (int(done.max()) - outcome.start_ns) / 1e9)
    return StressRun(
        directory, read_run(directory).manifest, outcome, merged,
        read_memory(directory / MEMORY) if (directory / MEMORY).exists() else [],
        series.read_parquet(directory / TELEMETRY) if (directory / TELEMETRY).exists() else {},
        json.loads(read_bytes(metrics)) if metrics.exists() else {},
    )  # fmt: skip
