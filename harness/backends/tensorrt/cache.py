"""Built engines, kept: by model, TensorRT, GPU and options, with a record beside each.

An entry that is damaged, was built by another TensorRT or is refused when it is loaded is thrown
away and built again; `note` says so. The engine, its build log and its record share a folder.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from harness.backends.tensorrt.build import BuildOptions, build
from harness.backends.tensorrt.library import Flavor, Messages, engine_header, misfit
from harness.errors import BackendError
from harness.models.cache import fetch, file_hash, text_hash
from harness.system.files import atomic_write, remove_unfinished, write_text

ENGINE = "model.engine"
LOG = "build.log"


@dataclass(frozen=True, slots=True)
class EngineTarget:
    """What an engine is for; two targets never share an engine."""

    model: str
    """The model's name, for the folder's."""
    model_key: str
    """The prepared model's: it covers the weights, which may lie in files beside the ONNX file."""
    onnx: Path
    gpu: str
    """Name and capability of the GPU, empty without one."""
    options: BuildOptions


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine file and where it comes from."""

    path: Path
    bytes: int
    seconds: float
    """What building it took, then or now."""
    cached: bool
    sha256: str
    types: dict[str, int]
    log: Path
    note: str = ""
    """Why an older entry was thrown away."""


def key(flavor: Flavor, target: EngineTarget) -> str:
    """SHA-256 over everything that the engine depends on."""
    return text_hash(
        target.model_key, file_hash(target.onnx), flavor.name, flavor.version, target.gpu,
        asdict(target.options),
    )  # fmt: skip


def folder_of(flavor: Flavor, target: EngineTarget, cache: Path) -> Path:
    """Where the engine for `target` is kept."""
    name = f"{target.model}-{flavor.name}-{target.options.precision}-{key(flavor, target)[:16]}"
    return cache / "engines" / name


def get(flavor: Flavor, target: EngineTarget, cache: Path, messages: Messages) -> Engine:
    """The engine for `target`, from the cache or built now.

    Raises what `harness.backends.tensorrt.build.build` raises.
    """
    folder = folder_of(flavor, target, cache)
    note = _stale(folder / ENGINE, flavor)
    there = folder.exists()
    if note:
        shutil.rmtree(folder, ignore_errors=True)
    entry = fetch(folder, partial(_build, flavor, target, cache, messages))
    if there and not note and not entry.cached:
        note = "the engine in the cache was damaged: built again"
    return Engine(
        entry.path / ENGINE, entry.files[ENGINE], float(entry.details["build_seconds"]),
        entry.cached, entry.details["sha256"], dict(entry.details["types"]), entry.path / LOG, note,
    )  # fmt: skip


def forget(engine: Engine) -> None:
    """Throw an entry away, so that `get` builds again."""
    shutil.rmtree(engine.path.parent, ignore_errors=True)


def _stale(path: Path, flavor: Flavor) -> str:
    """Why this TensorRT can't use the engine in the cache; empty when it can or is absent."""
    if not path.exists():
        return ""
    try:
        reason = misfit(engine_header(path), flavor)
    except (BackendError, OSError) as error:
        reason = str(error)
    return f"the engine in the cache was thrown away ({reason}): built again" if reason else ""


def _build(
    flavor: Flavor, target: EngineTarget, cache: Path, messages: Messages, folder: Path
) -> dict[str, object]:
    timing = _timing_cache(flavor, target, cache)
    known = timing.read_bytes() if timing.exists() else None
    try:
        built = build(flavor, target.onnx, target.options, messages, known)
    except Exception:  # the folder goes, the worker's log stays
        print("\n".join(messages.lines[-100:]), file=sys.stderr)
        raise
    write_text(folder / LOG, "\n".join([*messages.lines, messages.layers, ""]))
    (folder / ENGINE).write_bytes(built.plan)
    if built.timing_cache:
        save(timing, built.timing_cache)
    return {
        "flavor": flavor.name, "version": flavor.version, "gpu": target.gpu,
        "options": asdict(target.options), "build_seconds": built.seconds,
        "types": dict(built.types), "sha256": file_hash(folder / ENGINE),
        "warnings": messages.warnings[:20],
    }  # fmt: skip


def _timing_cache(flavor: Flavor, target: EngineTarget, cache: Path) -> Path:
    """Shared by all models on one GPU: what is timed are kernels, not models."""
    return cache / "engines" / f"timing-{text_hash(flavor.name, flavor.version, target.gpu)[:16]}"


def runtime_cache(flavor: Flavor, engine: Engine | Path, gpu: str, cache: Path) -> Path:
    """Where TensorRT-RTX keeps the kernels it compiled for an engine on a GPU."""
    digest = engine.sha256 if isinstance(engine, Engine) else file_hash(engine)
    return cache / "engines" / f"runtime-{text_hash(digest, flavor.version, gpu)[:16]}"


def save(path: Path, data: bytes) -> None:
    """Write a file of the cache, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(path.parent)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
