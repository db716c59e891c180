"""Models from a file written by torch.export.save."""

from __future__ import annotations

import json
import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from unittest import mock

import torch

from harness.errors import UsageError
from harness.models.binding import refusal
from harness.models.torch_model import TorchModel, in_fp32
from harness.models.weights import one_line
from harness.scenario.wording import counted

_OPERATORS = re.compile(
    r"torch\.ops\.\w+\.\w+(\.\w+)?|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(?!call\b|attrgetter\b|itemgetter\b|methodcaller\b)\w+"
)
_NO_FORMULA = re.compile(
    r"[^\w\s.,()+*/%<>=&|~^-]|[A-Za-z_)]\s*\.|\.\s*[A-Za-z_]"
    r"|\b(?!floor\b|ceiling\b)[a-z_]\w*\s*\("
)
"""Sizes are formulas that torch gives to `eval`: no attributes, and no calls but of sympy's."""
_WORD = re.compile(r"'\w+'")
"""The only strings in them."""
_TENSORS = re.compile(r"(.*/)?(weight|tensor)_\d+")
_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def open_program(
    path: Path, names: Sequence[str], device: str = "cpu", *, trust: bool = False
) -> TorchModel:
    """A program written by torch.export.save, without what holds it to the types that it was
    exported in: precision changes them. Raises UsageError when it can't be read.
    """
    program = read_program(path, trust=trust)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    inputs = program_inputs(program)
    ours = scenario_names(path, inputs, names)
    words, count = list(inputs), _positional(program)
    keywords = {ours[word]: word for word in words[count:]}
    module = program.module()
    asserted = torch.ops.aten._assert_tensor_metadata.default
    for node in module.graph.find_nodes(op="call_function", target=asserted):
        module.graph.erase_node(node)
    module.recompile()
    note = ""
    if set(words) != set(names):  # of a single one
        note = f"the program has no input '{names[0]}': it goes in as '{words[0]}', the only one"
    return TorchModel(in_fp32(module), tuple(ours[w] for w in words[:count]), keywords, note)


def read_program(path: Path, *, trust: bool = False) -> torch.export.ExportedProgram:
    """Read an exported program. Raises UsageError when `path` is none.

    What could run code is refused, before anything of it is read, unless `trust`.
    """
    try:
        if trust:
            return torch.export.load(path)
        _check(path)
        with mock.patch.dict(os.environ, {_FORCE: "1"}):  # also where torch itself says False
            return torch.export.load(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (_CodeError, pickle.UnpicklingError) as error:
        raise UsageError(
            f"reading {path} would run code that is in it: {one_line(error)[:200]}",
            fix="if you trust whoever wrote it: model.source.trust: true",
        ) from error
    except Exception as error:
        raise UsageError(
            f"{path} is not an exported program: {one_line(error)[:200]}",
            fix="write it with torch.export.save(torch.export.export(…), path)",
        ) from error


class _CodeError(ValueError):
    """A part of an archive that runs code when it is read or called."""


def _check(path: Path) -> None:
    """Raise _CodeError for what needs more than tensors, formulas and torch's operators."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len({*names}) < len(names):
            raise _CodeError("a part that is there twice")
        for name in names:
            if "aotinductor/" in name:
                raise _CodeError(f"compiled code, {name}")
            if name.endswith(".json"):
                _check_json(json.loads(archive.read(name)))


def _check_json(value: object) -> None:
    if isinstance(value, list):
        for item in value:
            _check_json(item)
    if not isinstance(value, dict):
        return
    operator = value.get("target") if "inputs" in value else None
    for text, allowed in ((operator, _OPERATORS), (value.get("path_name"), _TENSORS)):
        if text is not None and not allowed.fullmatch(str(text)):
            raise _CodeError(str(text))
    formula = str(value.get("expr_str") or "")
    if "__" in formula or _NO_FORMULA.search(_WORD.sub("W", formula)):
        raise _CodeError(formula)
    for item in value.values():
        _check_json(item)


def program_inputs(program: torch.export.ExportedProgram) -> dict[str, tuple[int | str, ...]]:
    """Input name → shape; a string is a dynamic dimension."""
    wanted = set(program.graph_signature.user_inputs)
    return {
        node.name: tuple(d if isinstance(d, int) else str(d) for d in node.meta["val"].shape)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    }


def scenario_names(path: Path, inputs: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """The program's input → the scenario's, of the same name; a single one may have any.

    Raises UsageError when there are more of one than of the other, or others.
    """
    words = list(inputs)
    if len(words) != len(names):
        raise UsageError(
            f"{path} takes {counted(len(words), 'input')} ({', '.join(words)}), "
            f"model.inputs has {len(names)} ({', '.join(names)})"
        )
    unknown = [name for name in names if name not in words]
    if unknown and len(words) > 1:
        lacking = [word for word in words if word not in names]
        raise refusal(f"the program {path.name}", words, unknown, lacking)
    return dict(zip(words, names, strict=True)) if unknown else {word: word for word in words}


def _positional(program: torch.export.ExportedProgram) -> int:
    """How many inputs forward was given by position when the program was exported."""
    spec = program.call_spec.in_spec
    if spec is None:
        return len(program.graph_signature.user_inputs)
    children = spec.children() if callable(getattr(spec, "children", None)) else spec.children_specs
    return int(children[0].num_leaves)
