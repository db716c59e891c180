"""A run over several devices of this host: shards side by side, merged when they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import DeviceError, RunDirectoryError, WorkerDiedError
from harness.fleet.asked import lanes_of
from harness.fleet.crew import Crew, shard_of_lane
from harness.fleet.devices import Lane
from harness.fleet.merge import merge
from harness.fleet.sources import LANES, read_sources
from harness.fleet.trial import FOLDER, LIST, find_out
from harness.fleet.write import write
from harness.models.precision import in_own_precision
from harness.report.model.manifest_facts import mapping, sequence, text
from harness.results import events
from harness.results.events import Event, JournalLine, Observer
from harness.results.manifest import check_resumable, make_manifest, utc_now
from harness.results.rows import FailureRow, ParityRow
from harness.results.store import MANIFEST, RunStore, read_run
from harness.run.execute import Ended, Watch, default_directory
from harness.run.interruption import Interruption
from harness.run.shard import Shard, shard_of
from harness.scenario.points import Point, expand
from harness.scenario.reading.loader import LoadedScenario, load
from harness.scenario.spec.scenario import Scenario
from harness.system.files import write_text
from harness.system.machine import probe_gpus

OWN = ("command", "overrides", "scenario_path", "scenario_folder", "scenario_text", "git", LANES)
"""Of the manifest of the whole run, not of its lanes'."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What there is to do."""

    scenario: Scenario
    loaded: LoadedScenario
    lanes: Sequence[Lane]
    part: Shard
    """Of the run: what this host measures of it."""
    trial: bool | None = None
    """Whether it is tried if points disturb each other; None where the run's length decides."""

    @property
    def arguments(self) -> list[str]:
        """Of each lane's `harness run`."""
        sets = [word for text in self.loaded.overrides for word in ("--set", text)]
        return [str(self.loaded.path), *sets]


def start(
    loaded: LoadedScenario, devices: str, output: Path | None, watch: Watch,
    part: Shard | None = None, trial: bool | None = None,
) -> Ended:  # fmt: skip
    """Measure a scenario over several devices, into a new run directory with one folder a lane.

    `trial` is whether it is tried first if points disturb each other there.

    Raises UsageError for devices that it can't have, DeviceError for those that are not there.
    """
    scenario = in_own_precision(loaded.scenario, loaded.path.resolve().parent)
    part = part or Shard()
    lanes = lanes_of(devices, scenario)
    shard_of_lane(lanes[0], len(lanes), part).check(scenario)
    directory = output or default_directory(scenario.scenario)
    manifest = make_manifest(scenario, loaded.text, loaded.path, list(loaded.overrides))
    manifest |= {LANES: [lane.to_json() for lane in lanes], "devices": devices, "trial": trial}
    if not part.whole:
        manifest["shard"] = {"index": part.index, "count": part.count}
    store = RunStore.create(directory, manifest)
    return _measure(_Work(scenario, loaded, lanes, part, trial), store, manifest, watch)


def has_lanes(directory: Path) -> bool:
    """Whether a run directory is one of several devices. False where it is no run directory."""
    return (directory / MANIFEST).exists() and LANES in read_run(directory).manifest


def resume(
    directory: Path, watch: Watch, *, path: Path | None = None, overrides: Sequence[str] = ()
) -> Ended:  # fmt: skip
    """Measure what its lanes lack. Raises RunDirectoryError where the scenario, the packages or the
    devices are others now.
    """
    work = reread(directory, path, overrides)
    store, done = RunStore.resume(directory)
    return _measure(work, store, done.manifest, watch)


def reread(directory: Path, path: Path | None = None, overrides: Sequence[str] = ()) -> _Work:
    """What there is to do of a run over several devices, if it can go on here; its scenario is read
    where it was, or from `path`. Raises RunDirectoryError.
    """
    manifest = read_run(directory).manifest
    folder, name = (text(manifest, f"scenario_{key}") for key in ("folder", "path"))
    sets = tuple(overrides) or tuple(map(str, sequence(manifest, "overrides")))
    loaded = load(path or Path(folder, Path(name).name), sets)
    scenario = in_own_precision(loaded.scenario, loaded.path.resolve().parent)
    machine = {**mapping(manifest, "machine"), "gpus": probe_gpus()[0]}
    check_resumable({**manifest, "machine": machine}, scenario)  # GPUs: those of its lanes, here
    lanes = lanes_of(text(manifest, "devices"), scenario)
    then = [mapping(lane).get("gpu") for lane in sequence(manifest, LANES)]
    if [lane.uuid or None for lane in lanes] != then:
        raise RunDirectoryError("the run can't be resumed: its lanes had other GPUs",
                                fix="start a new run, without --resume")  # fmt: skip
    wanted = manifest.get("trial")  # what was asked for, should it have ended before the trial
    trial = wanted if isinstance(wanted, bool) else None
    return _Work(scenario, loaded, lanes, shard_of(manifest), trial)


def _measure(
    work: _Work, store: RunStore, manifest: Mapping[str, object], watch: Watch
) -> Ended:  # fmt: skip
    """Have the lanes measure, and make one run of what they have."""
    directory = store.path
    more: list[JournalLine] = []
    with store, Interruption() as interruption, watch as observer:
        with interruption.during():
            more += _turns(work, directory, observer, interruption.check)
        lanes = () if interruption.early else work.lanes
        list_ = directory / LANES / LIST
        with (
            Crew(lanes, directory, work.arguments, work.part, list_) as crew,
            interruption.during(),
        ):
            _follow(crew, work, observer, interruption)
        if not interruption.early:
            failures = _unfinished(work, directory, crew)
            for line in failures:
                observer(line)
            more += failures
        _join(store, manifest, more, over=not interruption.early)
    return Ended(directory, interruption.early)


def _turns(
    work: _Work, directory: Path, observer: Observer, check: Callable[[], None]
) -> list[JournalLine]:
    """Find out which points are measured one at a time, unless it is known; what to note of it."""
    file = directory / LANES / LIST
    if not file.exists():
        alone, said = find_out(
            work.loaded, work.lanes, directory / LANES / FOLDER, check, wanted=work.trial,
            tell=lambda text: observer(events.Status(text)),
        )  # fmt: skip
        file.parent.mkdir(exist_ok=True)
        write_text(file, json.dumps({"alone": alone, "said": said}))
    notes = [events.Note(text) for text in json.loads(file.read_text("utf-8"))["said"]]
    for note in notes:
        observer(note)
    return [*notes]


def _follow(crew: Crew, work: _Work, observer: Observer, interruption: Interruption) -> None:
    """Tell the observer what all lanes do, as of one run."""
    points = tuple(p.id for p in expand(work.scenario))
    shards = [shard_of_lane(lane, len(work.lanes), work.part) for lane in work.lanes]
    rounds = sum(len(shard.rounds(work.scenario.measurement.rounds)) for shard in shards)
    now: dict[str, str] = {lane.device: "starting" for lane in work.lanes}
    begun, told = 0, set[tuple[str, int, str]]()
    observer(events.Plan(points, rounds))
    for lane, event in crew.events(interruption.check):
        match event:
            case events.Plan():
                if event.measured:
                    begun += event.measured
                    observer(events.Plan(points, rounds, begun))
                continue
            case ParityRow(backend, batch_size, outcome):
                if (backend, batch_size, outcome) not in told:
                    observer(event)
                told.add((backend, batch_size, outcome))
                continue
            case events.Status(said):
                now[lane.device] = said
            case events.SessionStarted() | events.PointStarted() | events.Progress():
                now[lane.device] = _doing(event, now[lane.device])
            case events.Note(said):
                observer(events.Note(f"{lane.device}: {said}"))
                continue
            case events.RunEnded():
                now[lane.device] = f"done ({event.status})"
            case events.RunStarted() | events.RunResumed() | events.ToCome():  # of one lane alone
                continue
            case _:
                observer(event)
                continue
        observer(events.Lanes(dict(now)))


def _doing(event: Event, before: str) -> str:
    match event:
        case events.SessionStarted(backend, config):
            name = backend if config == "default" else f"{backend}/{config}"
            return f"round {event.round + 1}: loading {name}"
        case events.PointStarted():
            return f"round {event.round + 1}: {event.point}"
        case events.Progress():
            return f"{before.partition(' · ')[0]} · {event.phase}: {event.rate:.1f} requests/s"
    return before


def _unfinished(work: _Work, directory: Path, crew: Crew) -> list[JournalLine]:
    """A failure for each point and round of a lane that ended before it was done."""
    found: list[JournalLine] = []
    begun = read_sources([m.parent for m in (directory / LANES).glob(f"*/{MANIFEST}")])
    for lane in work.lanes:
        shard = shard_of_lane(lane, len(work.lanes), work.part)
        tries = [s.data for s in begun if s.shard == shard]
        if any(data.complete for data in tries):
            continue
        done = {(m.point, m.round) for data in tries for m in data.measurements}
        done |= {(c.point, c.round) for data in tries for c in data.capacities}
        done |= {(f.point, f.round) for data in tries for f in data.failures}
        why = crew.why_ended(lane)
        reason = (DeviceError if "is gone" in why else WorkerDiedError).reason
        points: list[Point] = expand(work.scenario)
        found += [
            FailureRow(p.id, round_, p.backend, reason, why, log=f"logs/lane-{lane.number}.log")
            for round_ in shard.rounds(work.scenario.measurement.rounds) for p in points
            if (p.id, round_) not in done
        ]  # fmt: skip
    return found


def _join(
    store: RunStore, manifest: Mapping[str, object], failures: Sequence[JournalLine], *,
    over: bool,
) -> None:  # fmt: skip
    """Make one run of the lanes; where none has begun there are only the failures."""
    directory = store.path
    if not any((directory / LANES).glob(f"*/{MANIFEST}")):
        for line in (*failures, events.RunEnded("complete" if over else "interrupted", utc_now())):
            store.append(line)
        return
    merged = merge(read_sources([directory]), allow_mixed=True, more=failures, over=over)
    own = {key: manifest[key] for key in (*OWN, "devices", "trial", "shard") if key in manifest}
    write(replace(merged, manifest={**merged.manifest, **own}), directory)
