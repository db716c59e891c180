"""The manifest read with tolerance: every key may be missing, and nothing here raises for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from harness.report.model.numbers import fixed

Json = Mapping[str, object]
UNKNOWN = "unknown"


def mapping(data: object, *keys: str) -> Json:
    """The mapping at the path, or an empty one."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, Mapping) else {}


def sequence(data: object, *keys: str) -> Sequence[object]:
    """The list at the path, or an empty one."""
    found = mapping(data, *keys[:-1]).get(keys[-1])
    return found if isinstance(found, (list, tuple)) else ()


def text(data: object, *keys: str, default: str = UNKNOWN) -> str:
    """The value at the path as text."""
    found = mapping(data, *keys[:-1]).get(keys[-1])
    return default if found is None or found == "" else str(found)


def number(data: object, key: str) -> float | None:
    """The number at the key, or None."""
    found = data.get(key) if isinstance(data, Mapping) else None
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None


def date_text(manifest: Json) -> str:
    """When the run was made, to the minute, in UTC."""
    written = text(manifest, "created")
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return written
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def gib_text(mib: float | None) -> str:
    """MiB as GiB (2^30) with the unit."""
    return UNKNOWN if mib is None else f"{fixed(mib / 1024, 1)} GiB"


def gpus(manifest: Json) -> list[Json]:
    """The machine's GPUs."""
    return [g for g in sequence(manifest, "machine", "gpus") if isinstance(g, Mapping)]


def gpu_line(manifest: Json) -> str:
    """`2 × NVIDIA H100 80GB HBM3`, or `none`."""
    names = [text(g, "name") for g in gpus(manifest)]
    kinds = list(dict.fromkeys(names))
    return ", ".join(f"{names.count(kind)} × {kind}" for kind in kinds) or "none"


def gpu_memory(manifest: Json) -> float | None:
    """Memory of all GPUs together in MiB; None where it is not known."""
    sizes = [number(g, "memory_mib") for g in gpus(manifest)]
    known = [s for s in sizes if s is not None]
    return sum(known) if known and len(known) == len(sizes) else None


def cpu_line(manifest: Json) -> str:
    """`AMD EPYC 9B14, 2 cores, 2 threads`."""
    cpu = mapping(manifest, "machine", "cpu")
    counts = [f"{cpu[k]} {k}" for k in ("cores", "threads") if cpu.get(k) is not None]
    return ", ".join([text(cpu, "model"), *counts])


def device_line(manifest: Json) -> str:
    """The GPUs, or where there is none the CPU, in words."""
    return gpu_line(manifest) if gpus(manifest) else cpu_line(manifest)


def measured_on(manifest: Json) -> str:
    """`device_line`, and where lanes had a GPU each, that no figure is of several."""
    one = any(isinstance(x, Mapping) and x.get("gpu") for x in sequence(manifest, "lanes"))
    return device_line(manifest) + " (each measurement on one)" * one


def hardware_line(manifest: Json) -> str:
    """What the sentence ends with: the GPUs, or without any the CPU."""
    return f"{'GPU(s)' if gpus(manifest) else 'CPU'} {device_line(manifest)}"


def backend_specs(manifest: Json) -> list[Json]:
    """The resolved scenario's backends."""
    return [b for b in sequence(manifest, "scenario", "backends") if isinstance(b, Mapping)]


def device_gpu(manifest: Json, spec: Json) -> Json:
    """The GPU a backend ran on: by `device: cuda:1`, by UUID, else the first; empty without one."""
    found = gpus(manifest)
    device = str(spec.get("device") or "")
    for gpu in found:
        if device in (text(gpu, "uuid"), f"cuda:{gpu.get('ordinal', gpu.get('index'))}"):
            return gpu
    return found[0] if found else {}
