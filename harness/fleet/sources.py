"""What is merged: run directories, the GPU or machine each was measured on, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import RunDirectoryError
from harness.report.model.manifest_facts import (
    UNKNOWN,
    Json,
    backend_specs,
    device_gpu,
    mapping,
    number,
    sequence,
    text,
)
from harness.results.manifest import differences
from harness.results.store import MANIFEST, RunData, read_run
from harness.run.shard import Shard, shard_of

LANES = "lanes"
"""Folder of a run over several devices of one host: a run directory a lane."""
SAME = ("scenario", "harness_version", "packages", "environments")
"""Of the manifests of what is merged."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Place:
    """A GPU, or a machine or some of its processors: what rounds may have in common."""

    key: tuple[str, ...]
    name: str
    """`GPU 1 of bench-3`."""
    kind: str
    """`NVIDIA H100 80GB HBM3, driver 570.86.15`."""
    gpus: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A run directory that is merged."""

    data: RunData
    place: Place
    command: Sequence[str] = ()
    """What was typed; of a lane, for the run over several devices."""

    @property
    def shard(self) -> Shard:
        """Which part of the run it is."""
        return shard_of(self.data.manifest)

    @property
    def name(self) -> str:
        """What it is called in messages, without where it lies."""
        return f"shard {self.shard} ({self.place.name})"


def place_of(manifest: Json) -> Place:
    """Where a run was measured: by its GPUs where its backends have some."""
    host = text(manifest, "machine", "hostname")
    gpus = [
        gpu
        for spec in backend_specs(manifest)
        if _on_gpu(spec) and (gpu := device_gpu(manifest, spec))
    ]
    gpus = list({str(g.get("uuid") or g.get("index")): g for g in gpus}.values())
    if not gpus:
        return _processors(manifest, host)
    uuids = sorted(str(g.get("uuid") or f"{host} {g.get('index')}") for g in gpus)
    if (shown := text(manifest, "shard", "visible", default="")).startswith("MIG-"):
        kind = f"MIG device, driver {text(gpus[0], 'driver')}"
        return Place((shown,), f"MIG device {shown} of {host}", kind, tuple(gpus))
    numbers = ", ".join(text(g, "index") for g in gpus)
    kinds = sorted({f"{text(g, 'name')}, driver {text(g, 'driver')}" for g in gpus})
    return Place(tuple(uuids), f"GPU {numbers} of {host}", "; ".join(kinds), tuple(gpus))


def _on_gpu(spec: Json) -> bool:
    """By its device or, where it names none, by its provider."""
    if spec.get("device") is not None:
        return spec["device"] != "cpu"
    return str(spec.get("provider", "CPU")) not in ("CPU", "CPUExecutionProvider")


def _processors(manifest: Json, host: str) -> Place:
    cpu = mapping(manifest, "machine", "cpu")
    used = [int(n) for n in sequence(manifest, "shard", "cpus") if isinstance(n, int)]
    some = bool(used) and len(used) < (number(cpu, "threads") or 0)
    name = f"CPU {spans(used)} of {host}" if some else host
    kind = f"{text(cpu, 'model')}, {len(used) if some else text(cpu, 'threads')} threads"
    return Place((host, spans(used) if some else ""), name, kind)


def spans(numbers: Sequence[int]) -> str:
    """`0-3,8` of numbers, as the kernel writes lists of processors."""
    parts: list[list[int]] = []
    for n in sorted(set(numbers)):
        if parts and n == parts[-1][-1] + 1:
            parts[-1][1:] = [n]
        else:
            parts.append([n])
    return ",".join("-".join(map(str, p)) for p in parts)


def read_sources(directories: Sequence[Path]) -> list[Source]:
    """The run directories to merge; of a run over several devices, those of its lanes. In the order
    of their shards. Raises RunDirectoryError, also where one is named twice or is merged itself.
    """
    found: dict[Path, Source] = {}
    for directory in directories:
        lanes = sorted((directory / LANES).glob("*/manifest.json"))
        typed: Sequence[object] = ()
        if lanes and (directory / MANIFEST).exists():
            typed = sequence(read_run(directory, shown=False).manifest, "command")
        for path in [lane.parent for lane in lanes] or [directory]:
            if path.resolve() in found:
                raise RunDirectoryError(f"{path} is named twice", fix="name each directory once")
            data = read_run(path, shown=False)
            if kind := data.manifest.get("kind"):
                raise RunDirectoryError(f"{path} holds no run of `harness run`, but of {kind}",
                                        fix="name directories of `harness run`")  # fmt: skip
            if "shards" in data.manifest:
                raise RunDirectoryError(
                    f"{path} is made of several run directories already",
                    fix="name those that it was made of",
                )
            command = tuple(map(str, typed or sequence(data.manifest, "command")))
            found[path.resolve()] = Source(data, place_of(data.manifest), command)
    order = sorted(found.values(), key=lambda s: (s.shard.count, s.shard.index, _created(s)))
    return _named(order)


def _named(sources: Sequence[Source]) -> list[Source]:
    """Each place under one name: a GPU is one block whatever its host is called (each container
    has a hostname of its own), and two that are called alike are two.
    """
    names: dict[tuple[str, ...], str] = {}
    for place in (s.place for s in sources):
        if place.key not in names:
            told_apart = f"{place.name} ({', '.join(place.key)})"
            names[place.key] = told_apart if place.name in names.values() else place.name
    return [replace(s, place=replace(s.place, name=names[s.place.key])) for s in sources]


def _created(source: Source) -> str:
    return text(source.data.manifest, "created", default="")


def mixed(sources: Sequence[Source]) -> list[str]:
    """How the sources differ where they should not, a sentence each."""
    first, found = sources[0], []
    for other in sources[1:]:
        changes = differences(_facts(first), _facts(other))
        if changes:
            more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            named = "; ".join(changes[:_SHOWN]) + more
            found.append(f"{other.name} differs from {first.name}: {named}")
    return found


def _facts(source: Source) -> Mapping[str, object]:
    manifest = source.data.manifest
    known = {key: manifest.get(key) or ("" if key.endswith("version") else {}) for key in SAME}
    return {**known, "kind": source.place.kind or UNKNOWN, "shards": source.shard.count}
