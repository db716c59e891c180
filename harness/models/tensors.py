"""What goes into a model and comes out, and the prepared model itself: paths, never objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from harness.errors import BackendError, from_reason

Array = NDArray[np.generic]
"""Of any type and shape."""
NotMade = tuple[str, str, str | None]
"""Why a file could not be made: reason, message and fix of the HarnessError."""
Tensors = Mapping[str, Array]
"""Name to array."""
BATCH = "batch"
"""The batch dimension in a `TensorSpec`'s shape, on any axis of any tensor."""
BatchSaid = str | Mapping[str, int | str] | None
"""What the scenario says of it: `none`, a dimension's name, or a tensor's axis or `none`."""


class FileData(TypedDict, total=False):
    """Samples from files, in this order; the last two are for images."""

    files: list[str]
    values: list[str]
    """Strings, instead of files."""
    mean: list[float] | None
    std: list[float] | None


class InputData(TypedDict, total=False):
    """How an input's data is made."""

    data: Literal["random", "zeros"] | FileData
    range: tuple[float, float] | None
    value: list[float] | None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, numpy-style dtype and shape; a string in the shape is a dynamic dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What goes in and what comes out."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def batched(self) -> bool:
        """Whether any input follows the batch size; if none does, a request is one inference."""
        return any(BATCH in spec.shape for spec in self.inputs)


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """The model as `harness.models.prepare` left it for the backends: paths, never objects.

    `files` maps a format (`onnx`, `state_dict`, `exported_program`, `engine`) to a path;
    `inputs` is complete, read from the model where the scenario left it out.
    """

    name: str
    source: Mapping[str, Any]
    key: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    dynamic: Mapping[str, int] = field(default_factory=dict)
    """Of those that vary the largest size."""
    data: Mapping[str, InputData] = field(default_factory=dict)
    """By input name; what is not here is random."""
    batch: BatchSaid = None
    notes: tuple[str, ...] = ()
    """How it was read, where neither the scenario nor the model's own names say it."""
    max_batch_size: int = 1
    precision: str = "fp32"
    """What the source is in: int8 where it is quantized."""
    widened: str = ""
    """What a module's weights were in before they were made fp32: fp16 or bf16."""
    failures: Mapping[str, NotMade] = field(default_factory=dict)
    """Format to why it could not be made; backends that need it fail with that, others run."""
    sizes: tuple[Mapping[str, int], ...] = ({},)
    """Of dynamic dimensions that vary, every set of sizes that a request may have."""

    def file(self, format: str) -> Path:
        """The path of the model in `format`. Raises why there is none, as it was raised there."""
        if format in self.files:
            return Path(self.files[format])
        none = f"a {next(iter(self.source), 'model')} source has none"
        reason, why, fix = self.failures.get(format, (BackendError.reason, none, None))
        raise from_reason(reason, f"{self.name} has no {format} file: {why}", fix)

    @property
    def batched(self) -> bool:
        """Whether any input follows the batch size."""
        return Signature(self.inputs, self.outputs).batched

    def sized(self, sizes: Mapping[str, int]) -> PreparedModel:
        """The same with these sizes of its dynamic dimensions."""
        return replace(self, dynamic={**self.dynamic, **sizes})

    def to_json(self) -> dict[str, object]:
        """A JSON-able dict that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PreparedModel:
        """Read what `to_json` wrote."""
        specs = {
            key: tuple(TensorSpec(t["name"], t["dtype"], tuple(t["shape"])) for t in data[key])
            for key in ("inputs", "outputs")
        }
        tuples = {key: tuple(data[key]) for key in ("sizes", "notes") if key in data}
        return cls(**{**data, **specs, **tuples})
