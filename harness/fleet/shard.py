"""One shard of a scenario into a run directory of its own: which, where, and again after a kill."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.errors import RunDirectoryError, UsageError
from harness.fleet import lanes
from harness.models.precision import in_own_precision
from harness.results.store import MANIFEST, read_run
from harness.run import execute
from harness.run.shard import Shard, shard_of
from harness.scenario.reading.loader import LoadedScenario

AUTO = "auto"
_FIX = "give K/N with K from 0, such as 0/4; or auto, or auto/N, in a job array"
_KUBERNETES = ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")
_SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")


def parse_shard(text: str, env: Mapping[str, str]) -> Shard:
    """The shard that `K/N`, `auto/N` or `auto` names; auto asks the variables of an Indexed Job of
    Kubernetes (which knows N only by JOB_COMPLETIONS, set by hand) or of a SLURM array.

    Raises UsageError.
    """
    found = re.fullmatch(r"(\d+|auto)(?:/(\d+))?", text.strip())
    if found is None or (found[1] != AUTO and found[2] is None):
        raise UsageError(f"--shard: '{text}' is no shard", fix=_FIX)
    number, of = _by_environment(env) if found[1] == AUTO else (int(found[1]), None)
    count = int(found[2]) if found[2] else of
    if count is None:
        raise UsageError(f"--shard: nothing says of how many shards this is number {number}",
                         fix="give auto/N, or set JOB_COMPLETIONS")  # fmt: skip
    if not 0 <= number < count:
        raise UsageError(f"--shard: there is no shard {number} of {count}", fix=_FIX)
    return Shard(number, count)


def _by_environment(env: Mapping[str, str]) -> tuple[int, int | None]:
    """Number and count, if it is known."""
    if (index := _number(env, _KUBERNETES[0])) is not None:
        return index, _number(env, _KUBERNETES[1])
    if (index := _number(env, _SLURM[0])) is not None:
        first, step = (_number(env, f"SLURM_ARRAY_TASK_{k}") for k in ("MIN", "STEP"))
        return (index - (first or 0)) // (step or 1), _number(env, _SLURM[1])
    raise UsageError(f"--shard auto: neither {_KUBERNETES[0]} nor {_SLURM[0]} is set", fix=_FIX)


def _number(env: Mapping[str, str], name: str) -> int | None:
    text = env.get(name, "")
    if text and not text.isdecimal():
        raise UsageError(f"{name} is '{text}', which is no number", fix=_FIX)
    return int(text) if text else None


def measure_shard(
    loaded: LoadedScenario, shard: Shard, output: Path | None, watch: execute.Watch,
    devices: str | None = None, trial: bool | None = None,
) -> execute.Ended:  # fmt: skip
    """Measure a shard, on several `devices` or as it is, into `output`, by default
    reports/SCENARIO-shard-K-of-N, or what is missing there: whoever starts it again, after a kill
    or on another machine, measures nothing twice.

    One that was begun elsewhere, and can't go on here, begins anew in `OUTPUT-again`, and `merge`
    takes of each round the fuller one. Raises RunDirectoryError where something else is there.
    """
    scenario = in_own_precision(loaded.scenario, loaded.path.resolve().parent)
    shard.check(scenario)
    name = f"{scenario.scenario}-shard-{shard.index}-of-{shard.count}"
    for directory in _tries(output or Path("reports", name)):
        if not (directory / MANIFEST).exists():
            if devices is not None:
                return lanes.start(loaded, devices, directory, watch, shard, trial)
            return execute.start(loaded, directory, watch, shard=shard)
        data = read_run(directory)
        there = (data.scenario, shard_of(data.manifest), data.manifest.get("devices"))
        if there != (scenario.model_dump(mode="json"), shard, devices):
            raise RunDirectoryError(
                f"{directory} holds a run of something else than shard {shard} of this scenario"
                + (f" on {devices}" if devices else ""), fix="give another --output",
            )  # fmt: skip
        if data.complete and not (devices and data.failures):  # of a lane that died, maybe
            return execute.Ended(directory, False)
        reread = execute.reread if devices is None else lanes.reread
        try:
            reread(directory, loaded.path, loaded.overrides)
        except RunDirectoryError:  # another machine, or other packages
            continue
        resume = execute.resume if devices is None else lanes.resume
        return resume(directory, watch, path=loaded.path, overrides=loaded.overrides)
    raise AssertionError("the tries never end")


def _tries(directory: Path) -> Iterator[Path]:
    yield directory
    for number in itertools.count(1):
        again = "again" if number == 1 else f"again-{number}"
        yield directory.with_name(f"{directory.name}-{again}")
