"""The paths in a scenario: relative to the file they are written in, and they must exist."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args, get_origin

from harness.scenario.reading import walk
from harness.scenario.rules.base import Broken, Loc
from harness.scenario.spec.fields import PathTo
from harness.scenario.spec.scenario import Scenario


@dataclass(frozen=True, slots=True)
class FileReference:
    """A path in the data: where it stands, what it says and leads to, and how to replace it."""

    loc: Loc
    written: str
    kind: str
    holder: MutableMapping[str, object] | MutableSequence[object]

    def replace(self, path: str) -> None:
        """Put another path in its place."""
        key = self.loc[-1]
        if isinstance(self.holder, MutableMapping):
            self.holder[str(key)] = path
        elif isinstance(key, int):
            self.holder[key] = path


def references(
    data: object, here: object = Scenario, loc: Loc = (),
    holder: MutableMapping[str, object] | MutableSequence[object] | None = None,
) -> Iterator[FileReference]:  # fmt: skip
    """Every path in the plain data of a scenario, whatever else is wrong with it.

    A single path where a list may stand is made a list, in place.
    """
    if get_origin(here) is Annotated:
        here, *marks = get_args(here)
        kind = next((mark.kind for mark in marks if isinstance(mark, PathTo)), None)
        if kind and isinstance(data, str) and holder is not None:
            yield FileReference(loc, data, kind, holder)
        else:
            yield from references(data, here, loc, holder)
    elif walk.is_model(here) and not walk.members_of(here):
        values = data if isinstance(data, dict) else {}
        for name in (name for name in here.model_fields if name in values):
            annotation = here.model_fields[name].rebuild_annotation()
            yield from references(values[name], annotation, (*loc, name), values)
    elif get_origin(here) is tuple and data is not None:
        yield from _of_list(data, get_args(here)[0], loc, holder)
    else:
        kind = data.get("kind") if isinstance(data, dict) else None
        for member in walk.members_of(here):
            if (
                not walk.is_model(member)
                or "kind" not in member.model_fields
                or (walk.tag_of(member) == kind)
            ):
                yield from references(data, member, loc, holder)


def _of_list(
    data: object, here: object, loc: Loc,
    holder: MutableMapping[str, object] | MutableSequence[object] | None,
) -> Iterator[FileReference]:  # fmt: skip
    items = data if isinstance(data, list) else [data]
    is_path = any(isinstance(mark, PathTo) for mark in get_args(here))
    if is_path and items is not data and isinstance(holder, dict):
        holder[loc[-1]] = items
    for index, item in enumerate(items):
        yield from references(item, here, (*loc, index), items)


def resolve(reference: FileReference, directory: Path) -> Broken | None:
    """Make the path absolute in place; say so when nothing, or the wrong thing, is there."""
    written, kind = reference.written, reference.kind
    if not written:
        return None  # the schema says that it must not be empty
    try:
        path = (directory / Path(written).expanduser()).resolve()
        fits = path.is_dir() if kind == "directory" else path.is_file()
        exists = path.exists()
    except (OSError, ValueError, RuntimeError):
        return Broken(reference.loc, f"'{written}' is no usable path")
    reference.replace(str(path))
    if fits:
        return None
    if exists:
        return Broken(reference.loc, f"'{written}' is not a {kind}")
    return Broken(reference.loc, f"no such {kind}: '{written}' (looked in {directory})")
