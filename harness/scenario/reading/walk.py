"""From pydantic's view of a place (a `loc`, with the tags of unions in it) to the file's view."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, Tag

from harness.scenario.spec.backend import BackendSettings, all_settings
from harness.scenario.spec.scenario import Scenario

Loc = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a loc leads: the path as written in the file, and the types on the way."""

    path: Loc
    annotation: object
    """Type of what stands there; None where it is not known."""
    parent: type[BaseModel] | None
    """The model that the last key belongs to."""


def follow(loc: Sequence[str | int], root: object = Scenario) -> Place:
    """Walk the models along `loc`; the tags that pydantic adds for unions are left out."""
    here, parent, path = root, None, list[str | int]()
    for step in loc:
        here = unwrap(here)
        if members := union_members(here):
            here, parent = member(members, step), None
            continue
        parent = here if is_model(here) else None
        path.append(step)
        here = _child(here, step)
    return Place(tuple(path), unwrap(here), parent)


def _child(here: object, step: str | int) -> object:
    if is_model(here):
        field = here.model_fields.get(str(step))
        return field.annotation if field else None
    origin, args = get_origin(here), get_args(here)
    if origin is dict:
        return args[1]
    if origin in (tuple, list) and isinstance(step, int):
        return args[0] if Ellipsis in args or origin is list else args[min(step, len(args) - 1)]
    return None


def is_model(here: object) -> TypeGuard[type[BaseModel]]:
    """Whether a type is a pydantic model."""
    return isinstance(here, type) and issubclass(here, BaseModel)


def unwrap(here: object) -> object:
    """Without `Annotated` and `| None`."""
    while True:
        if get_origin(here) is Annotated:
            here = get_args(here)[0]
        elif get_origin(here) in (Union, types.UnionType):
            rest = [a for a in get_args(here) if a is not type(None)]
            if len(rest) != 1:
                return here
            here = rest[0]
        else:
            return here


def union_members(here: object) -> tuple[object, ...]:
    """The members of a union that pydantic tags, or nothing."""
    members = tuple(a for a in members_of(here) if a is not type(None))
    return members if any(tag_of(m) for m in members) else ()


def members_of(here: object) -> tuple[object, ...]:
    """The members of any union; those of a backend's settings are the registered kinds'."""
    if here is BackendSettings:
        return tuple(all_settings().values())
    return get_args(here) if get_origin(here) in (Union, types.UnionType) else ()


def tag_of(here: object) -> str | None:
    """The tag of a union's member: a `Tag`, or the value of its `kind`."""
    for extra in get_args(here)[1:] if get_origin(here) is Annotated else ():
        if isinstance(extra, Tag):
            return extra.tag
    model = unwrap(here)
    if is_model(model) and "kind" in model.model_fields:
        return str(get_args(model.model_fields["kind"].annotation)[0])
    return None


def member(members: Sequence[object], tag: str | int) -> object:
    """The member with that tag."""
    return next((m for m in members if tag_of(m) == tag), None)


def words(here: object) -> tuple[str, ...]:
    """The words of a Literal, or nothing."""
    here = unwrap(here)
    return tuple(map(str, get_args(here))) if get_origin(here) is Literal else ()


def homes(key: str, root: object = Scenario, path: str = "") -> list[str]:
    """Where in the scenario a key of that name belongs, e.g. `measurement` or `load`; the outermost
    place first.
    """
    root = unwrap(root)
    if get_origin(root) in (tuple, list):
        return homes(key, get_args(root)[0], path)
    if members := union_members(root):
        found = [homes(key, m, path) for m in members]
        return list(dict.fromkeys(h for hs in found for h in hs))
    if not is_model(root):
        return []
    fields = root.model_fields
    here = [path] if key in fields and path else []
    below = [homes(key, f.annotation, f"{path}.{n}".lstrip(".")) for n, f in fields.items()]
    every = dict.fromkeys([*here, *(h for hs in below for h in hs)])
    return sorted(every, key=lambda home: home.count("."))
