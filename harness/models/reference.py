"""Reference outputs: computed once in the prepare process, kept in the cache, read by workers.

PyTorch sources: eager fp32 on the CPU. ONNX files: ONNX Runtime on the CPU with its graph
optimisations off, the nearest thing to eager that such a file has. Other sources: none, and the
reason is kept in its place. It is run twice: outputs of which a model draws or measures the values
differ from themselves, and are known then.
"""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from harness.errors import (
    BackendError,
    MissingPackageError,
    PointError,
    UsageError,
    translate,
    translated,
)
from harness.models import onnx_file
from harness.models.cache import file_hash, locked, text_hash
from harness.models.inputs import make_inputs
from harness.models.onnx_file import SILENT, cpu_session
from harness.models.parity import unlike_itself
from harness.models.strings import all_plain
from harness.models.tensors import Array, PreparedModel, Tensors
from harness.scenario.sizes import label_of
from harness.scenario.spec.model import Parity
from harness.system.files import atomic_write, remove_unfinished, write_text
from harness.system.packages import require

ABOUT = "about.json"
LAYOUT = 3
"""Of a folder; a new number computes everything anew."""
SEED = 0
"""Parity's inputs have a seed of their own: every run compares the same."""
Run = Callable[[Tensors], dict[str, Array]]


@dataclass(frozen=True, slots=True)
class ReferenceOutputs:
    """A folder of reference outputs; `unavailable` is why there are none, empty if there are."""

    folder: Path
    words: str
    unavailable: str = ""
    unstable: tuple[str, ...] = ()
    """Outputs that differ between two runs on the same inputs."""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read what `write_references` wrote. Raises UsageError when it is not there."""
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{folder} holds no reference outputs: {error}") from error
        unstable = tuple(about.get("unstable", ()))
        return cls(folder, about["words"], about["unavailable"], unstable)

    def outputs(
        self, batch_size: int, variant: int, sizes: Mapping[str, int] | None = None
    ) -> dict[str, Array]:
        """Output name → array. Raises UsageError when they were not computed."""
        path = _path(self.folder, batch_size, variant, sizes or {})
        found = _read(path)
        if found is None:
            raise UsageError(f"{self.folder} has no reference {path.name}")
        return found


def write_references(
    model: PreparedModel, parity: Parity, batch_sizes: Sequence[int], cache: Path
) -> Path:
    """Compute what is missing for these batch sizes and return the folder.

    Its name holds the model's key, the data of the inputs, and the reference in words, which say
    the version of what computes it: with other data or another ONNX Runtime it is computed anew.
    Raises UsageError when the model fails on its inputs, or an output that is to be ignored is none
    of the model's.
    """
    check_ignored(model, parity)
    words, unavailable, open_run = _source(model)
    kept = text_hash(LAYOUT, _data_hash(model), words)[:16]
    folder = cache / f"{model.name}-{model.key[:16]}" / f"reference-{kept}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{folder.name}.lock")):
        remove_unfinished(folder)
        missing = [
            (batch, which, variant)
            for batch in batch_sizes
            for which, sizes in enumerate(model.sizes)
            for variant in range(parity.inputs)
            if _read(_path(folder, batch, variant, sizes)) is None
        ]
        unstable = set[str]()
        with contextlib.suppress(UsageError):  # nothing is known yet
            unstable.update(ReferenceOutputs.open(folder).unstable)
        if open_run is not None and missing:
            try:
                unstable |= _compute(model, open_run(), missing, folder)
            except PointError as error:  # the backends may still run: unverified, and said to be so
                unavailable = error.message
        about = {"words": words, "unavailable": unavailable, "unstable": sorted(unstable)}
        text, path = json.dumps(about), folder / ABOUT
        if not path.is_file() or path.read_bytes() != text.encode():  # a cache may be read-only
            write_text(path, text)
    return folder


def check_ignored(model: PreparedModel, parity: Parity) -> None:
    """Raise UsageError where outputs are known, and one that is to be ignored is none of them."""
    names = [o.name for o in model.outputs]
    for name in parity.ignore if names else ():
        if name not in names:
            raise UsageError(
                f"model.parity.ignore: {model.name} has no output '{name}'; it has "
                f"{', '.join(names)}"
            )


def _compute(
    model: PreparedModel, run: Run, missing: Sequence[tuple[int, int, int]], folder: Path
) -> set[str]:
    """Write what is missing, (batch size, index of its sizes, variant) each; which outputs differ
    from themselves at the smallest of its batches.

    What forward does to its inputs reaches no other run: each has its own.
    """
    unstable: set[str] = set()
    for batch, which, variant in missing:
        sizes = model.sizes[which]
        where = ", ".join(filter(None, (f"batch {batch}", label_of(sizes))))
        try:
            outputs = run(make_inputs(model.sized(sizes), batch, variant, SEED))
            if batch == min(missing)[0]:
                again = run(make_inputs(model.sized(sizes), batch, variant, SEED))
                unstable.update(unlike_itself(outputs, again))
        except Exception as error:
            why = translate(error)
            if type(why) is not BackendError:
                raise why from error
            raise UsageError(
                f"{model.name} fails at {where}, on inputs as the scenario has them: {why.message}",
                fix="compare model.inputs (their range or value), model.dynamic and "
                "load.batch_sizes with what the model takes",
            ) from error
        _write(_path(folder, batch, variant, sizes), outputs)
    return unstable


def _data_hash(model: PreparedModel) -> str:
    files = [
        file_hash(Path(file))
        for settings in model.data.values()
        if isinstance(data := settings.get("data"), dict)
        for file in data.get("files", ())
    ]
    return text_hash(dict(model.data), files, SEED)


def _source(model: PreparedModel) -> tuple[str, str, Callable[[], Run] | None]:
    """(the reference in words, why there is none, how to open it)."""
    kind = next(iter(model.source))
    if kind in ("torch", "exported_program"):
        words = f"eager PyTorch {require('torch').__version__}, {model.precision}, CPU"
        return words, "", lambda: _eager(model)
    if kind == "onnx":
        try:
            version = require("onnxruntime").__version__
        except MissingPackageError as error:
            return "", f"an ONNX file's reference needs ONNX Runtime: {error.message}", None
        if odd := onnx_file.no_array((*model.inputs, *model.outputs)):
            return "", odd, None
        words = f"ONNX Runtime {version} without graph optimisations, {model.precision}, CPU"
        return words, "", lambda: _unoptimised(model)
    reasons = {
        "fake": "a fake model has nothing to compare with",
        "triton": "the model lives on a server; there is no local reference",
        "engine": "an engine holds no model that could be run in fp32",
    }
    return "", reasons[kind], None


def _eager(model: PreparedModel) -> Run:
    from harness.models.sources import open_model
    from harness.models.torch_model import named

    module = open_model(model)
    dtypes = {i.name: i.dtype for i in model.inputs}
    names = [o.name for o in model.outputs]
    return lambda inputs: named(module(inputs, dtypes), names)


def _unoptimised(model: PreparedModel) -> Run:
    path = model.file("onnx")
    with translated("ONNX Runtime can't load the model as a reference"):
        session = cpu_session(path, optimised=False, severity=SILENT)
    names = [o.name for o in session.get_outputs()]
    wanted = {i.name for i in session.get_inputs()}

    def run(inputs: Tensors) -> dict[str, Array]:
        arrays = session.run(None, {k: v for k, v in inputs.items() if k in wanted})
        return all_plain(dict(zip(names, arrays, strict=True)))

    return run


# ---------------------------------------------------------------------------------------- files


def _path(folder: Path, batch_size: int, variant: int, sizes: Mapping[str, int]) -> Path:
    return folder / f"b{batch_size}{'-' if sizes else ''}{label_of(sizes)}-v{variant}.npz"


def _write(path: Path, outputs: Tensors) -> None:
    """Arrays under `a0`, `a1`, …, since output names may hold any character."""
    arrays = {f"a{i}": np.asarray(value) for i, value in enumerate(outputs.values())}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, names=np.array(list(outputs)), **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, Array] | None:
    """What `_write` wrote; None when it is missing or damaged (zip members carry a checksum)."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return {str(name): data[f"a{i}"] for i, name in enumerate(data["names"])}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
