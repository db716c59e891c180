"""The scenario reference, docs/scenario.md, and the JSON Schema: made from the models, so that they
can't go stale.

python -m harness.validate.reference docs/scenario.md
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticUndefined

from harness.scenario.kinds import import_path
from harness.scenario.reading import walk
from harness.scenario.spec import constraints, fields, load, model
from harness.scenario.spec.backend import BackendSettings, all_settings
from harness.scenario.spec.environment import Environment
from harness.scenario.spec.limits import Limits
from harness.scenario.spec.load import PROFILES
from harness.scenario.spec.scenario import Scenario, Search
from harness.scenario.units import Duration, PositiveDuration, Size, format_duration

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Parts = tuple[tuple[str, type[BaseModel]], ...]
_PARTS: Parts = (
    ("The file", Scenario),
    ("model", model.ModelSpec),
    ("model.source", model.Source),
    ("model.inputs", model.Input),
    ("model.inputs.data: {files: …}", model.Files),
    ("model.inputs.data: {values: …}", model.Values),
    ("model.dynamic: one size of a mix", model.SizeShare),
    ("model.parity", model.Parity),
    ("environments.NAME", Environment),
    *((f"backends: kind: {kind}", cls) for kind, cls in all_settings().items()),
    *(
        (f"backends: {title}", part)
        for cls in all_settings().values()
        for title, part in cls.parts.items()
    ),
    ("backends: limits", Limits),
    ("load", load.Load),
    ("load.steps[]", load.Step),
    ("load.ramp", load.Ramp),
    ("load.find_capacity", load.FindCapacity),
    ("measurement", load.Measurement),
    ("measurement.targets", load.Targets),
    ("constraints", constraints.Constraints),
    ("one constraint", constraints.Bound),
    ("objective: {metric: weight}", constraints.Weights),
    ("search", Search),
    *cast(Parts, import_path("harness.swarm.settings:PARTS")),
    *cast(Parts, import_path("harness.tenants.settings:PARTS")),
)


def reference() -> str:
    """What stands below the page's introduction, Markdown."""
    parts = [""]
    for title, part in _PARTS:
        parts.append("\n".join(_part(title, part)))
        if part is load.Measurement:
            parts.append("\n".join(_profiles()))
    return "\n".join(parts)


def documented() -> list[type[BaseModel]]:
    """The models that have a part of the page."""
    return [part for _, part in _PARTS]


def _part(title: str, part: type[BaseModel]) -> Iterator[str]:
    yield f"## {title}\n"
    yield inspect.cleandoc(part.__doc__ or "") + "\n"
    yield "| key | what may stand there | default | meaning |"
    yield "|---|---|---|---|"
    own = sorted(part.model_fields.items(), key=lambda f: f[0] not in part.__annotations__)
    for name, field in own:
        kind, default = _type(_annotation(field)), _default(part, name, field)
        yield f"| `{name}` | {kind} | {default} | {(field.description or '').replace('|', '/')} |"
    yield ""


def _profiles() -> Iterator[str]:
    keys = list(next(iter(PROFILES.values())))
    yield "The profiles:\n"
    yield f"| profile | {' | '.join(keys)} |"
    yield "|---" * (len(keys) + 1) + "|"
    for name, values in PROFILES.items():
        yield f"| `{name}` | {' | '.join(str(values[k]) for k in keys)} |"
    yield ""


def _annotation(field: FieldInfo) -> object:
    """The field's type with its bounds, which pydantic keeps apart."""
    here: object = field.annotation
    for extra in field.metadata:
        here = Annotated[here, extra]
    return here


_NAMES: tuple[tuple[object, str], ...] = (
    (Duration, "duration"),
    (PositiveDuration, "duration"),
    (fields.Dimension, "size or word"),
    (Size, "size in bytes"),
)
_SIMPLE: dict[object, str] = {
    str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "anything",
}  # fmt: skip


def _type(here: object) -> str:
    if name := next((name for known, name in _NAMES if known == here), None):
        return name
    origin, args = get_origin(here), get_args(here)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in args)
    if origin in (Union, types.UnionType) or here is BackendSettings:
        names = [_type(a) for a in walk.members_of(here) if a is not type(None)]
        return ", or ".join(dict.fromkeys(names))
    if origin is tuple:
        return (
            f"list of: {_type(args[0])}"
            if Ellipsis in args
            else f"list of {len(args)}: {_type(args[0])}"
        )
    if origin is dict:
        return f"mapping of names to: {_type(args[1])}"
    return _SIMPLE.get(here) or f"mapping ({_link(here)})"


def _link(part: object) -> str:
    title = next((t for t, m in _PARTS if m is part), "")
    slug = "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")
    return f"[{title}](#{slug})" if title else "`{}`"


def _default(part: type[BaseModel], name: str, field: FieldInfo) -> str:
    if part is load.Measurement and name in PROFILES["quick"]:
        return "by profile"
    if field.default_factory is not None or field.default in (None, "", ()):
        return ""
    if field.default is PydanticUndefined:
        return "**required**"
    value = field.default
    if isinstance(value, float) and "duration" in _type(_annotation(field)):
        value = format_duration(value)
    shown = value if isinstance(value, str) else json.dumps(value)
    return f"`{shown}`"


def scenario_schema() -> JsonSchemaValue:
    """The JSON Schema (draft 2020-12) of a scenario file, for editors, as JSON-able data.

    It knows keys, types and words, not what must hold between keys: `harness validate` does.
    """
    made = Scenario.model_json_schema(mode="validation")
    for part in (made, *made["$defs"].values()):
        part.pop("title", None)
        for spec in part.get("properties", {}).values():
            spec.pop("title", None)
            _drop_empty_default(spec)
    made["$defs"]["Source"]["oneOf"] = [{"required": [kind]} for kind in fields.SOURCE_KINDS]
    return {"$schema": DIALECT, "title": "harness scenario", **made}


def _drop_empty_default(spec: JsonSchemaValue) -> None:
    """`null` and an empty name mean "left out": no default that an editor should write."""
    if spec.get("default", 0) in (None, ""):
        del spec["default"]


if __name__ == "__main__":
    page = Path(sys.argv[1])
    introduction = page.read_text("utf-8").partition("\n## ")[0]
    page.write_text(introduction + reference(), "utf-8")
