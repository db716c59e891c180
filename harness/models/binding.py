"""How a scenario's inputs go into a module's forward: by name, by position, or as one dict."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import get_origin

from torch import nn

from harness.errors import UsageError, did_you_mean
from harness.models.torch_model import TakesDict, TorchModel

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def bind(module: nn.Module, names: Sequence[str], way: str = "") -> TorchModel:
    """The module, called in that way of `ways`; the first one unless it is given."""
    found = ways(module, names)
    return found.get(way) or next(iter(found.values()))


def ways(module: nn.Module, names: Sequence[str]) -> dict[str, TorchModel]:
    """In what ways forward can be called with these inputs, by what to say of them.

    More than one where forward's signature leaves it open: only a call can tell then, and the
    first one that works is right. Raises UsageError, with a suggestion, for names that forward does
    not have, and for arguments that it needs and no input gives.
    """
    parameters = _parameters(module)
    own = [p for p in parameters if p.kind in (*_BY_POSITION, Parameter.KEYWORD_ONLY)]
    kinds = {p.kind for p in parameters}
    unknown = [n for n in names if n not in {p.name for p in own}]
    needed = [p.name for p in own if p.default is Parameter.empty]
    found = {}
    if {*needed} <= {*names} and (not unknown or Parameter.VAR_KEYWORD in kinds):
        found["by name"] = _by_name(module, own, names)
    leading = [p.name for p in own if p.kind in _BY_POSITION][: len(names)]
    placed = {name for name, place in zip(names, leading, strict=False) if name == place}
    misplaced = ({*names} & {p.name for p in own}) - placed
    if unknown and Parameter.VAR_POSITIONAL in kinds and not misplaced:
        note = f"forward takes any number of inputs, and gets them as written: {', '.join(names)}"
        found["by position"] = TorchModel(module, tuple(names), note=note)
    if unknown and len(unknown) == len(names) and len(own) == 1 and own[0].kind in _BY_POSITION:
        if len(names) == 1 and not _is_mapping(own[0].annotation):
            only = f"it goes in as '{own[0].name}', the only one"
            note = f"forward has no argument '{names[0]}': {only}"
            found["by position"] = TorchModel(module, tuple(names), note=note)
        found["as a dict"] = TorchModel(TakesDict(module), (), {n: n for n in names})
    if not found:
        lacking = [name for name in needed if name not in names]
        raise refusal(
            f"forward of {type(module).__name__}", [p.name for p in own], unknown, lacking
        )
    return found


def _parameters(module: nn.Module) -> list[Parameter]:
    """Of forward, by the schema where TorchScript has traced or frozen it; without any, `*args`."""
    try:
        return list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        if (schema := getattr(module.forward, "schema", None)) is None:
            return [Parameter("args", Parameter.VAR_POSITIONAL)]
    left_out = {a.name: None for a in schema.arguments if a.has_default_value()}
    names = [a.name for a in schema.arguments[1:]]
    return [Parameter(n, _BY_NAME[0], default=left_out.get(n, Parameter.empty)) for n in names]


def _by_name(module: nn.Module, own: Sequence[Parameter], names: Sequence[str]) -> TorchModel:
    """By position up to the first argument without an input, the rest as keywords."""
    takes = [p.name for p in own]
    first = [p.kind in _BY_POSITION and p.name in names for p in own]
    count = (*first, False).index(False)
    rest = [*(n for n in takes[count:] if n in names), *(n for n in names if n not in takes)]
    return TorchModel(module, tuple(takes[:count]), {name: name for name in rest})


def _is_mapping(annotation: object) -> bool:
    kind = get_origin(annotation) or annotation
    text = kind if isinstance(kind, str) else ""
    return (isinstance(kind, type) and issubclass(kind, Mapping)) or text.lower().startswith(
        ("dict", "mapping", "typing.dict", "typing.mapping")
    )


def refusal(
    who: str, takes: Sequence[str], unknown: Sequence[str], lacking: Sequence[str]
) -> UsageError:
    """Which inputs a forward does not have, with what is near, and which arguments got none."""
    free = [name for name in takes if name in lacking] or takes
    parts = []
    for name in unknown:
        near = difflib.get_close_matches(name, takes, 1) or (free if len(free) == 1 else [])
        parts.append(f"{who} has no argument '{name}'{did_you_mean(*near)}")
    if lacking and not unknown:
        listed = ", ".join(f"'{name}'" for name in lacking)
        parts.append(f"{who} needs {listed}, which no input gives")
    return UsageError(
        f"model.inputs: {'; '.join(parts)}",
        fix=f"name the inputs as forward's arguments: {', '.join(takes) or 'it takes none'}",
    )
