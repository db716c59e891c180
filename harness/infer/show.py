"""An answer in the terminal, as JSON, and as a file of arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import UsageError
from harness.infer.classes import Class
from harness.infer.send import Answer
from harness.models.tensors import Array
from harness.system.credentials import outward
from harness.system.files import jsonable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SCHEMA = "harness-infer/1"
HEAD = 8
"""Values of an output that are shown."""
Top = Mapping[str, Sequence[Sequence[Class]]]
"""Output → its best classes, item by item."""


def as_json(answer: Answer, top: Top, written: Path | None) -> str:
    """Everything that is shown; values only as far as `HEAD`, all of them are in the file."""
    facts = {
        "schema": SCHEMA, "model": answer.model, "by": answer.by, "version": answer.version,
        "inputs": {name: _about(array) for name, array in answer.inputs.items()},
        "outputs": {
            name: {**_about(array), **_range(array), "head": array.ravel()[:HEAD].tolist()}
            for name, array in answer.outputs.items()
        },
        "top": {name: [[asdict(c) for c in row] for row in rows] for name, rows in top.items()},
        "contradictions": list(answer.contradictions),
        "written": None if written is None else str(written),
    }  # fmt: skip
    return json.dumps(jsonable(facts), indent=2)


def _about(array: Array) -> dict[str, object]:
    dtype = "string" if array.dtype.kind in "USO" else str(array.dtype)
    return {"dtype": dtype, "shape": list(array.shape)}


def _range(array: Array) -> dict[str, object]:
    """The smallest and the largest number, and how many are none; of strings nothing."""
    if array.dtype.kind not in "biuf" or not array.size:
        return {}
    numbers = np.asarray(array, np.float64)
    bad = int(np.count_nonzero(~np.isfinite(numbers)))
    good = numbers[np.isfinite(numbers)]
    ends = {"min": float(good.min()), "max": float(good.max())} if good.size else {}
    return {**ends, "not_finite": bad}


def page(answer: Answer, top: Top) -> list[RenderableType]:
    """Who answered what: classes where there are, else each output's type, shape and head."""
    from rich.text import Text

    version = f", version {answer.version}" if answer.version else ""
    shapes = ", ".join(f"{n} {a.dtype} {list(a.shape)}" for n, a in answer.inputs.items())
    parts: list[RenderableType] = [
        Text(outward(f"{answer.model} by {answer.by}{version}: {shapes}"), style="bold")
    ]
    for name, rows in top.items():
        parts += [_classes(name, number, row, len(rows)) for number, row in enumerate(rows)]
    if rest := {name: a for name, a in answer.outputs.items() if name not in top}:
        parts.append(_outputs(rest))
    parts += [Text(outward(f"warning: {wrong}"), style="yellow") for wrong in answer.contradictions]
    return parts


def _classes(name: str, number: int, row: Sequence[Class], items: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    which = f"{name}, item {number}" if items > 1 else name
    table = Table(box=None, header_style="bold", pad_edge=False, title=outward(which),
                  title_justify="left")  # fmt: skip
    for head in ("class", "score", "probability"):
        table.add_column(head, justify="right", no_wrap=True)
    labelled = any(c.label for c in row)
    if labelled:
        table.add_column("label", overflow="fold")
    for c in row:
        label = [Text(outward(c.label))] if labelled else []
        table.add_row(str(c.index), f"{c.score:.5g}", f"{c.probability:.2%}", *label)
    return table


def _outputs(outputs: Mapping[str, Array]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("output", "type", "shape", "from", "to", "begins"):
        table.add_column(head, overflow="fold")
    for name, array in outputs.items():
        about, ends = _about(array), _range(array)
        words = [_number(ends.get(end)) for end in ("min", "max")]
        begins = " ".join(_number(v) for v in array.ravel()[:HEAD].tolist())
        more = " …" if array.size > HEAD else ""
        bad = f" ({ends['not_finite']} not finite)" if ends.get("not_finite") else ""
        cells = (name, str(about["dtype"]), str(about["shape"]), *words, f"{begins}{more}{bad}")
        table.add_row(*(Text(outward(cell)) for cell in cells))
    return table


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return "" if value is None else str(value)


def save(answer: Answer, path: Path) -> None:
    """All outputs as an .npz file. Raises UsageError for a file that is there."""
    try:
        with path.open("xb") as file:
            np.savez(file, allow_pickle=False, **answer.outputs)
    except FileExistsError:
        raise UsageError(f"{path} is there already", fix="choose another name") from None
    except OSError as error:
        raise UsageError(f"{path} can't be written: {error.strerror or error}") from None
