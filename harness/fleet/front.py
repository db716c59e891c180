"""What `harness run` and `merge` do with shards and devices; the Python API calls the same."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.fleet import lanes
from harness.fleet.merge import merge
from harness.fleet.shard import measure_shard, parse_shard
from harness.fleet.sources import read_sources
from harness.fleet.write import require_new, write
from harness.results.store import read_run
from harness.run import execute
from harness.run.execute import Ended, Watch
from harness.scenario.reading.loader import LoadedScenario


def begin(
    loaded: LoadedScenario, output: Path | None, watch: Watch, shard: str | None = None,
    devices: str | None = None, trial: bool | None = None,
) -> Ended:  # fmt: skip
    """Measure a scenario, or the `shard` K/N of it, on several `devices` or as it is; `trial` says
    whether it is tried first if points disturb each other there.

    Raises UsageError for what can't be shared out, DeviceError for devices that are not there.
    """
    part = None if shard is None else parse_shard(shard, os.environ)
    if devices is not None and not loaded.path.exists():
        raise UsageError(
            "lanes are processes of their own, which read the scenario from its file, and "
            "this one has none", fix="save it, and give the file's path",
        )  # fmt: skip
    if part is not None:
        return measure_shard(loaded, part, output, watch, devices, trial)
    if devices is not None:
        return lanes.start(loaded, devices, output, watch, trial=trial)
    return execute.start(loaded, output, watch)


def go_on(
    directory: Path, watch: Watch, *, path: Path | None = None, overrides: Sequence[str] = ()
) -> Ended:
    """Measure what a run lacks, on the devices that it had. Raises RunDirectoryError."""
    if lanes.has_lanes(directory):
        return lanes.resume(directory, watch, path=path, overrides=overrides)
    return execute.resume(directory, watch, path=path, overrides=overrides)


def carry_out(directories: Sequence[Path], output: Path, *, allow_mixed: bool) -> Ended:
    """Merge; as interrupted where something is missing. Raises RunDirectoryError."""
    require_new(output)
    write(merge(read_sources(directories), allow_mixed=allow_mixed), output)
    return Ended(output, not read_run(output).complete)
