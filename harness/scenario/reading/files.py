"""The paths in a scenario: relative to the file they are written in, and they must exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.scenario.rules.base import Broken, Loc


@dataclass(frozen=True, slots=True)
class Reference:
    """A path in the data: where it stands, in which container, and whether it is a directory."""

    loc: Loc
    holder: Any
    key: str | int
    is_directory: bool = False


def references(data: Any) -> Iterator[Reference]:
    """Every path in the plain data of a scenario, whatever else is wrong with it."""
    yield from _of_model(_dict(_dict(data).get("model")), ("model",))
    load = _dict(_dict(data).get("load"))
    if isinstance(load.get("trace"), str):
        yield Reference(("load", "trace"), load, "trace")
    for index, item in enumerate(_items(_dict(data), "backends")):
        yield from _of_server(_dict(_dict(item).get("server")), ("backends", index, "server"))
        for number, other in enumerate(_items(_dict(item), "colocated")):
            loc = ("backends", index, "colocated", number, "model")
            yield from _of_model(_dict(_dict(other).get("model")), loc)


def _of_model(model: dict[str, Any], loc: Loc) -> Iterator[Reference]:
    source = _dict(model.get("source"))
    for key in ("weights", "onnx", "exported_program", "engine"):
        if isinstance(source.get(key), str):
            yield Reference((*loc, "source", key), source, key)
    for index, item in enumerate(_items(model, "inputs")):
        spec = _dict(_dict(item).get("data"))
        for number, name in enumerate(_items(spec, "files")):
            if isinstance(name, str):
                where = (*loc, "inputs", index, "data", "files", number)
                yield Reference(where, spec["files"], number)


def _of_server(server: dict[str, Any], loc: Loc) -> Iterator[Reference]:
    for key in ("repository", "backend_directory", "binary"):
        if isinstance(server.get(key), str):
            yield Reference((*loc, key), server, key, is_directory=key != "binary")
    for holder, where in ((server, loc), (_dict(server.get("telemetry")), (*loc, "telemetry"))):
        tls = _dict(holder.get("tls"))
        for key in ("ca", "cert", "key"):
            if isinstance(tls.get(key), str):
                yield Reference((*where, "tls", key), tls, key)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(holder: dict[str, Any], key: str) -> list[Any]:
    """The list at `key`; a single value there is made a list in place."""
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        holder[key] = value = [value]
    return value


def resolve(reference: Reference, directory: Path) -> Broken | None:
    """Make the path absolute in place; say so when nothing, or the wrong thing, is there."""
    written = reference.holder[reference.key]
    if not written:
        return None  # the schema says that it must not be empty
    try:
        path = (directory / Path(written).expanduser()).resolve()
        fits = path.is_dir() if reference.is_directory else path.is_file()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError):
        return Broken(reference.loc, f"'{written}' is no usable path")
    reference.holder[reference.key] = str(path)
    if fits:
        return None
    kind = "directory" if reference.is_directory else "file"
    if exists:
        return Broken(reference.loc, f"'{written}' is not a {kind}")
    return Broken(reference.loc, f"no such {kind}: '{written}' (looked in {directory})")
