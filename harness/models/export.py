"""PyTorch → ONNX: torch.export first, the TorchScript exporter as the recorded fallback."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.errors import BackendError, MissingPackageError, UsageError
from harness.models.onnx_file import OPSET, check_file, cpu_session
from harness.models.tensors import BATCH, Array, Signature, Tensors, TensorSpec
from harness.models.torch_model import TorchModel, flatten, output_names, to_tensors
from harness.models.weights import one_line
from harness.scenario.wording import counted
from harness.system.faults import lacking
from harness.system.packages import require

EXAMPLE_BATCH = 2
"""A batch of 1 is special to torch.export (it broadcasts) and would be built into the graph."""
EXTERNAL_BYTES = 1_800_000_000
"""Weights above this go to a file beside the graph: protobuf ends at 2 GiB."""
MODEL_FILE = "model.onnx"
SOURCE = re.compile(r'File "(.+)", line (\d+)')
InputsOf = Callable[[int], Tensors]
"""Batch size → input arrays."""


class _Positional(nn.Module):
    """Takes the inputs in the scenario's order and returns a flat tuple of tensors."""

    def __init__(self, model: TorchModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model.module
        self.names, self.arguments = tuple(names), model.arguments

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        args, kwargs = self.arguments(dict(zip(self.names, tensors, strict=True)))
        return tuple(flatten(self.model(*args, **kwargs)))


@dataclass(frozen=True, slots=True)
class Job:
    """One export: the model, its inputs and outputs, and example tensors."""

    model: TorchModel
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    example: tuple[Tensor, ...]
    dynamic: bool = True
    """Whether the batch may differ from the example's."""

    def axes(self, spec: TensorSpec) -> dict[int, str]:
        """Axis → word of the dynamic dimensions."""
        words = {i: d for i, d in enumerate(spec.shape) if isinstance(d, str)}
        return {i: d for i, d in words.items() if self.dynamic or d != BATCH}

    @property
    def arguments(self) -> dict[str, Any]:
        """What both exporters are told alike."""
        return {
            "input_names": [i.name for i in self.inputs],
            "output_names": [o.name for o in self.outputs],
            "opset_version": OPSET, "verbose": False,
        }  # fmt: skip


def export_onnx(
    model: TorchModel, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...],
    inputs_of: InputsOf, batch_sizes: Sequence[int], folder: Path, *, fixed: int | None = None,
    example_of: InputsOf | None = None,
) -> dict[str, object]:  # fmt: skip
    """Write `model.onnx` (and its external data) to `folder`, checked; return what was done.

    `fixed` is the only batch size that the model takes, if that is so. `example_of` makes what the
    exporters see, where the inputs themselves would be built into the graph. Raises BackendError
    with both exporters' reasons when neither can.
    """
    for package in ("onnx", "onnxscript"):
        require(package)
    dtypes = {i.name: i.dtype for i in inputs}
    example = to_tensors((example_of or inputs_of)(fixed or EXAMPLE_BATCH), dtypes)
    job = Job(model, inputs, outputs, tuple(example[i.name] for i in inputs), fixed is None)
    sizes = [fixed] if fixed else sorted({1, max(batch_sizes)})
    reasons: dict[str, str] = {}
    for name, exporter in EXPORTERS.items():
        for leftover in folder.iterdir():
            leftover.unlink()
        try:
            with _quiet():
                exporter(job, folder / MODEL_FILE)
            check_file(folder / MODEL_FILE)
            verified = verify(folder / MODEL_FILE, inputs_of, outputs, sizes)
        except Exception as error:
            if lack := lacking(_root(error)):
                raise lack from error
            reasons[name] = one_line(_root(error))[:300] + _place(error)
            continue
        details = {"exporter": name, "opset": OPSET, "verified": verified}
        return details | ({"fallback_reason": "; ".join(reasons.values())} if reasons else {})
    why = "; ".join(f"{k}: {v}" for k, v in reasons.items())
    raise BackendError(f"can't be exported to ONNX: {why}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what PyTorch says while it exports, and afterwards all of it as it was.

    Where it fails it prints its whole graph to stdout, whatever `verbose` says.
    """
    logger, printed = logging.getLogger("torch"), torch._C._jit_onnx_log
    level = logger.level
    logger.setLevel(logging.ERROR)
    torch._C._jit_onnx_log = lambda *_: None
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        torch._C._jit_onnx_log = printed


def _torch_export(job: Job, path: Path) -> None:
    module = _Positional(job.model, [i.name for i in job.inputs])
    axes = [job.axes(i) for i in job.inputs]
    dims = {word: torch.export.Dim(word) for each in axes for word in each.values()}
    shapes = tuple({axis: dims[word] for axis, word in each.items()} for each in axes)
    size = sum(t.nbytes for t in module.state_dict().values() if isinstance(t, Tensor))
    torch.onnx.export(
        module, job.example, path, dynamo=True, dynamic_shapes={"tensors": shapes},
        external_data=size > EXTERNAL_BYTES, **job.arguments,
    )  # fmt: skip


def _legacy(job: Job, path: Path) -> None:
    axes = {spec.name: job.axes(spec) for spec in (*job.inputs, *job.outputs)}
    module: nn.Module = _Positional(job.model, [i.name for i in job.inputs])
    if isinstance(job.model.module, torch.jit.ScriptModule):  # it can't be traced through
        module = job.model.module
    torch.onnx.export(module, job.example, path, dynamo=False, dynamic_axes=axes, **job.arguments)


EXPORTERS = {"torch.export": _torch_export, "legacy": _legacy}
"""Tried in this order."""


def _root(error: BaseException) -> BaseException:
    """What really went wrong: torch.onnx wraps it in pages of advice."""
    return error if error.__cause__ is None else _root(error.__cause__)


def _place(error: BaseException | None) -> str:
    """Node and source line of what torch.export could not translate; empty where it has none."""
    if error is None:
        return ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        lines = SOURCE.findall(getattr(frame.f_locals.get("node"), "stack_trace", None) or "")
        if lines:
            own = [line for line in lines if "/torch/" not in line[0]]
            return f" (node {frame.f_locals['node'].name}, {':'.join((own or lines)[-1])})"
    return _place(error.__cause__)


def verify(
    path: Path, inputs_of: InputsOf, outputs: Sequence[TensorSpec], sizes: Sequence[int]
) -> str:
    """Run the file in ONNX Runtime at these batch sizes; what was verified, in words.

    Numbers are compared later, by parity. Raises BackendError on another shape or number of
    outputs, and whatever ONNX Runtime raises.
    """
    try:
        ort = require("onnxruntime")
    except MissingPackageError:
        return "not run: onnxruntime is not installed"
    session = cpu_session(path)
    wanted = {i.name for i in session.get_inputs()}
    for batch in sizes:
        feeds = {k: v for k, v in inputs_of(batch).items() if k in wanted}
        _check_shapes(session.run(None, feeds), outputs, batch)
    return f"onnxruntime {ort.__version__} at batch {' and '.join(map(str, sizes))}"


def _check_shapes(results: Sequence[Array], outputs: Sequence[TensorSpec], batch: int) -> None:
    if len(results) != len(outputs):
        raise BackendError(
            f"the ONNX file has {counted(len(results), 'output')}, the model {len(outputs)}"
        )
    for array, spec in zip(results, outputs, strict=True):
        expected = [batch if d == BATCH else d for d in spec.shape]
        if not fits(np.shape(array), expected):
            raise BackendError(
                f"the ONNX file's {spec.name} has shape {list(array.shape)} at batch {batch}, "
                f"expected {expected}"
            )


def fits(shape: Sequence[int], expected: Sequence[int | str]) -> bool:
    """Whether `shape` is what is expected; words stand for any size."""
    return len(shape) == len(expected) and all(
        isinstance(e, str) or s == e for s, e in zip(shape, expected, strict=True)
    )


def trace_outputs(
    model: TorchModel, inputs: Sequence[TensorSpec], inputs_of: InputsOf, batch: int,
    smaller: InputsOf | None = None,
) -> tuple[tuple[TensorSpec, ...], int | None]:  # fmt: skip
    """Output names, dtypes and shapes, found by running two batch sizes in eager mode, and with
    inputs that are `smaller` in the dimensions that vary.

    A model that runs at `batch` but not at `batch + 1`, or gives another number of tensors there,
    takes no other: then `batch` is the second result, else None. One without a batch runs once, as
    it is. Raises whatever the model raises at `batch`.
    """
    dtypes: Mapping[str, str] = {i.name: i.dtype for i in inputs}
    result = model.result(inputs_of(batch), dtypes)
    first = flatten(result)
    batched = Signature(tuple(inputs), ()).batched
    second, fixed = first, 1 if not batched else None
    if batched:
        try:
            second = model(inputs_of(batch + 1), dtypes)
        except Exception:
            fixed = batch
        if len(second) != len(first):  # a list with an entry a sample, as detectors return
            second, fixed = first, batch
    if not first:
        raise UsageError(
            f"forward of {type(model.own).__name__} returned {type(result).__name__}, in which "
            "there is no tensor",
            fix="return a tensor, or tuples, lists, mappings or dataclasses of tensors",
        )
    names = output_names(result, [i.name for i in inputs])
    third = model(smaller(batch), dtypes) if smaller is not None else first
    shapes = (_shape(*each, batch if batched else 0)
              for each in zip(names, first, second, third, strict=True))  # fmt: skip
    kinds = (str(tensor.dtype).removeprefix("torch.") for tensor in first)
    return tuple(map(TensorSpec, names, kinds, shapes)), fixed


def _shape(name: str, at: Tensor, more: Tensor, less: Tensor, batch: int) -> tuple[int | str, ...]:
    """`at` a batch and `more` at the next size, or the same twice for a fixed batch; `less` where
    other dimensions are smaller.

    One axis is the batch, the first that follows it: a table of all against all has two.
    """
    one = at.shape
    pairs = list(enumerate(zip(one, more.shape, less.shape, strict=True)))
    following = [axis for axis, (a, b, _) in pairs if (a, b) == (batch, batch + 1)]
    if not following and one and one[0] == more.shape[0] == batch:
        following = [0]
    return tuple(
        BATCH if axis in following[:1] else a if a == b == c else f"{name}_dim{axis}"
        for axis, (a, b, c) in pairs
    )
