"""Many run directories of one scenario as one, which reads as any other.

A round is measured on one GPU or machine, so that is a block of the statistics: each measurement
says on which it was made, and the intervals know it (`harness.analysis.cards`).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.analysis.stopping import correlated
from harness.analysis.summary import summarize
from harness.errors import RunDirectoryError
from harness.fleet.sources import Source, mixed, spans
from harness.fleet.spread import spread_of
from harness.report.model.manifest_facts import mapping, text
from harness.results import events, rows
from harness.results.events import JournalLine
from harness.results.grouping import firsts
from harness.results.store import RunData
from harness.run.shard import Shard
from harness.system.text import harmless

Rounded = (
    rows.LoadedRow | rows.MeasurementRow | rows.CapacityRow | rows.FailureRow
    | events.Discarded | events.MeasuredAgain
)  # fmt: skip
"""Lines that belong to a round."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What is taken of one source."""

    source: Source
    slug: str
    """Begins the names of its files."""
    rounds: Mapping[int, int]
    """Its round → the round of the merged run. What is not there was measured elsewhere too."""

    def name(self, path: str) -> str:
        """A file of its run directory as it is called in the merged one."""
        folder, _, file = path.rpartition("/")
        return f"{folder}/{self.slug}-{file}" if path else ""


@dataclass(frozen=True, slots=True)
class Merged:
    """A run directory that is not written yet."""

    manifest: Mapping[str, object]
    lines: Sequence[JournalLine]
    taken: Sequence[Taken] = ()


def merge(
    sources: Sequence[Source], *, allow_mixed: bool = False, more: Iterable[JournalLine] = (),
    over: bool = False,
) -> Merged:  # fmt: skip
    """The sources as one run; `more` lines are added. It is `over` where nothing more is to come,
    whatever is missing.

    Raises RunDirectoryError where they differ in scenario, versions or kind of GPU.
    """
    if not sources:
        raise RunDirectoryError("there is nothing to merge", fix="name run directories")
    differ = mixed(sources)
    if differ and not allow_mixed:
        rest = f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise RunDirectoryError(
            f"what is to be merged is not alike: {differ[0]}{rest}",
            fix="measure the odd one again, or give --allow-mixed: what differs is noted",
        )
    taken, said = _rounds(sources)
    missing = [] if over else _missing(sources)
    texts = [*(f"merged all the same: {d}" for d in differ), *said, *missing]
    lines: list[JournalLine] = [*map(events.Note, texts), *_notes(taken), *_once(taken)]
    for one in taken:
        lines += _of_rounds(one)
    lines += more
    lines += _drifts(lines)
    began = min(text(s.data.manifest, "created", default="") for s in sources)
    ends = [e.time for s in sources for e in s.data.rows(events.RunEnded)]
    status = "interrupted" if missing else "complete"
    lines = [
        events.RunStarted(began), *lines, events.RunEnded(status, max(ends, default="")),
    ]  # fmt: skip
    return Merged(_manifest(taken, began), lines, taken)


# ----------------------------------------------------------------------------------------- rounds


def _rounds(sources: Sequence[Source]) -> tuple[list[Taken], list[str]]:
    """Which rounds are taken of each, under which number, and what to say of those that are not."""
    slugs = [f"{n}" for n in range(len(sources))]
    alike = {s.shard.count for s in sources}
    if len(alike) > 1 or alike == {1}:  # whole runs: each has rounds from 0 on
        taken, begin = [], 0
        for slug, source in zip(slugs, sources, strict=True):
            own = sorted(_measured(source.data))
            taken.append(Taken(source, slug, {r: begin + i for i, r in enumerate(own)}))
            begin += len(own)
        return taken, []
    best: dict[int, Source] = {}
    for source in sources:  # of those that were begun again, the one that has more of the round
        for round_, points in _measured(source.data).items():
            if round_ not in best or points >= _measured(best[round_].data)[round_]:
                best[round_] = source
    said = []
    for source in sources:
        twice = sorted(r for r in _measured(source.data) if best[r] is not source)
        said += [
            f"round {r + 1} was measured by {source.name} and again by {best[r].name}: only the "
            f"latter counts" for r in twice
        ]  # fmt: skip
    return [
        Taken(source, slug, {r: r for r, s in best.items() if s is source})
        for slug, source in zip(slugs, sources, strict=True)
    ], said


def _measured(data: RunData) -> dict[int, int]:
    """The rounds of a run that hold something, each with the number of its points."""
    found = [m.round for m in data.measurements] + [c.round for c in data.capacities]
    return {**{f.round: 0 for f in data.failures}, **Counter(found)}


def _missing(sources: Sequence[Source]) -> list[str]:
    """What is not there, a sentence each."""
    found = []
    for count in sorted({s.shard.count for s in sources}):
        if lacking := {Shard(k, count) for k in range(count)} - {s.shard for s in sources}:
            numbers = spans([shard.index for shard in lacking])
            found.append(f"of {count} shards these are missing: {numbers}")
    ended = {s.shard for s in sources if s.data.complete}
    return found + [
        f"{s.name} did not end" for s in sources
        if not s.data.complete and (s.shard.whole or s.shard not in ended)
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------ lines


def _of_rounds(taken: Taken) -> list[JournalLine]:
    """The lines of a source's rounds, on their rounds of the merged run, in order."""
    return [
        _moved(line, taken) for line in taken.source.data.events
        if isinstance(line, Rounded) and line.round in taken.rounds
    ]  # fmt: skip


def _moved(line: Rounded, taken: Taken) -> Rounded:
    """A line in the merged run: its round, its files, and where it was measured."""
    line = replace(line, round=taken.rounds[line.round])
    if isinstance(line, rows.FailureRow):
        return replace(line, log=taken.name(line.log))
    if isinstance(line, rows.LoadedRow) and "telemetry" in line.details:
        details = {**line.details, "telemetry": taken.name(line.details["telemetry"] or "")}
        return replace(line, details=details)  # type: ignore[arg-type]
    if not isinstance(line, rows.MeasurementRow):
        return line
    others = {
        name: {**other, "samples": taken.name(other.get("samples", ""))}
        for name, other in (line.details.get("colocated") or {}).items()
    }
    details = {**line.details, "block": taken.source.place.name}
    details |= {"colocated": others} if others else {}
    return replace(line, samples=taken.name(line.samples), details=details)  # type: ignore[arg-type]


def _notes(taken: Sequence[Taken]) -> list[JournalLine]:
    """The notes of all: once where all have it, else with whose it is; and what can't be kept."""
    found: dict[str, list[str]] = {}
    for one in taken:
        data = one.source.data
        newer = sorted({line.event for line in data.rows(events.UnknownEvent)})
        texts = [note.text for note in data.rows(events.Note)]
        texts += [f"lines of a newer version were left out: {', '.join(newer)}"] if newer else []
        for said in dict.fromkeys([*texts, *map(harmless, data.damage)]):
            found.setdefault(said, []).append(one.source.place.name)
    return [
        events.Note(said if len(who) == len(taken) else f"{', '.join(dict.fromkeys(who))}: {said}")
        for said, who in found.items()
    ]


def _once(taken: Sequence[Taken]) -> list[JournalLine]:
    """What each source found out for itself, and is said once."""
    every = [one.source.data for one in taken]
    parity = [p for data in every for p in data.parity]
    parity.sort(key=lambda p: p.status == "agrees")  # what disagrees somewhere is said
    return [
        *firsts(
            (a for d in every for a in d.rows(rows.ArtifactRow)),
            lambda a: (a.format, Path(a.path).name),
        ),
        *firsts((s for d in every for s in d.rows(rows.ServerOnlyRow)), lambda s: s.backend),
        *firsts(parity, lambda p: (p.backend, p.batch_size)),
        *(c for d in every for c in d.rows(rows.CeilingRow)),
    ]


def _drifts(lines: Sequence[JournalLine]) -> list[JournalLine]:
    """What a run says at its end of its points and cards, and no shard can."""
    found = summarize(line for line in lines if isinstance(line, rows.MeasurementRow))
    if (spread := spread_of([m for row in found for m in row.measurements])) is not None:
        return [events.Note(said) for said in spread.sentences()]
    return [
        events.Note(f"{row.point}: neighbouring rounds are alike in {', '.join(alike)} (a drift, "
                    "or a slow cycle), so its intervals are too narrow")
        for row in found if (alike := correlated(row))
    ]  # fmt: skip


# --------------------------------------------------------------------------------------- manifest


def _manifest(taken: Sequence[Taken], began: str) -> dict[str, object]:
    """The first source's, with all machines and GPUs, and what it is made of."""
    first = {k: v for k, v in taken[0].source.data.manifest.items() if k != "shard"}
    machine = dict(mapping(first, "machine"))
    hosts = (text(t.source.data.manifest, "machine", "hostname") for t in taken)
    machine["hostname"] = ", ".join(dict.fromkeys(hosts))
    gpus = [gpu for one in taken for gpu in one.source.place.gpus]
    if gpus:
        machine["gpus"] = firsts(gpus, lambda g: str(g.get("uuid") or g))
    calibrations = [t.source.data.manifest.get("calibration") for t in taken]
    if any(c != calibrations[0] for c in calibrations):
        first["calibration"] = None
    shards = [
        {
            "block": one.source.place.name, "kind": one.source.place.kind,
            "shard": str(one.source.shard), "rounds": sorted(one.rounds.values()),
            "complete": one.source.data.complete, "command": one.source.command,
        }
        for one in taken
    ]  # fmt: skip
    command = ["harness", *sys.argv[1:]]
    return {
        **first, "created": began, "command": command, "machine": machine, "shards": shards,
    }  # fmt: skip


def journal_text(lines: Iterable[JournalLine]) -> str:
    """A journal."""
    return "".join(json.dumps(line.to_event(), allow_nan=False) + "\n" for line in lines)
