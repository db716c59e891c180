"""Models from a file written by torch.export.save."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from harness.errors import UsageError
from harness.models.torch_model import TorchModel, in_fp32
from harness.models.weights import one_line


def open_program(path: Path, names: Sequence[str], device: str = "cpu") -> TorchModel:
    """A program written by torch.export.save. Raises UsageError when it can't be read."""
    program = read_program(path)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    inputs = program_inputs(program)
    ours = scenario_names(path, inputs, names)
    words, count = list(inputs), _positional(program)
    keywords = {ours[word]: word for word in words[count:]}
    return TorchModel(in_fp32(program.module()), tuple(ours[w] for w in words[:count]), keywords)


def read_program(path: Path) -> torch.export.ExportedProgram:
    """Read an exported program. Raises UsageError when `path` is none."""
    try:
        return torch.export.load(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except Exception as error:
        raise UsageError(
            f"{path} is not an exported program: {one_line(error)[:200]}",
            fix="write it with torch.export.save(torch.export.export(…), path)",
        ) from error


def program_inputs(program: torch.export.ExportedProgram) -> dict[str, tuple[int | str, ...]]:
    """Input name → shape; a string is a dynamic dimension."""
    wanted = set(program.graph_signature.user_inputs)
    return {
        node.name: tuple(d if isinstance(d, int) else str(d) for d in node.meta["val"].shape)
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    }


def scenario_names(path: Path, inputs: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """The program's input → the scenario's: of the same name, or else in the order written.

    Raises UsageError when there are more of one than of the other.
    """
    words = list(inputs)
    if len(words) != len(names):
        raise UsageError(
            f"{path} takes {len(words)} inputs ({', '.join(words)}), "
            f"model.inputs has {len(names)} ({', '.join(names)})"
        )
    same = set(words) == set(names)
    return {word: word if same else name for word, name in zip(words, names, strict=True)}


def _positional(program: torch.export.ExportedProgram) -> int:
    """How many inputs forward was given by position when the program was exported."""
    spec = program.call_spec.in_spec
    if spec is None:
        return len(program.graph_signature.user_inputs)
    children = spec.children() if callable(getattr(spec, "children", None)) else spec.children_specs
    return int(children[0].num_leaves)
