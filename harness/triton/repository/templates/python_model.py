"""Runs one model in Triton's Python backend: ONNX Runtime, TensorRT, or eager PyTorch.

Written into the model repository by `harness.triton.repository.write`. The parameters in
config.pbtxt say what to run: `serve` (onnxruntime, tensorrt or torch), `precision`, `threads`,
`onnx` (a path), and for TensorRT `cache` and the build options. Requests that Triton joined into
one batch run as one, and are split again afterwards; a request that came alone is not copied.
"""

from __future__ import annotations

import contextlib
import json
import locale
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Array = NDArray[np.generic]
Value = TypeVar("Value")
Runner = Callable[[dict[str, Value]], Sequence[Value]]
"""Input name → array or tensor, to the outputs in the order of the configuration."""


class TensorJson(TypedDict):
    """An input or output in the configuration."""

    name: str
    data_type: str


class ConfigJson(TypedDict):
    """The configuration as Triton gives it, as far as it is read here."""

    input: list[TensorJson]
    output: list[TensorJson]
    parameters: dict[str, dict[str, str]]
    max_batch_size: int


class NativeTensor(Protocol):
    """The stub's own tensor."""

    def as_numpy(self) -> Array:
        """Its values."""
        ...

    def to_dlpack(self) -> object:
        """Its memory, as a DLPack capsule."""
        ...


class TritonPythonModel:
    """What the Python backend looks for in model.py."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model on this instance's device. What it raises makes loading fail."""
        with contextlib.suppress(locale.Error):  # Triton sets none: text files would be ASCII
            locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
        config: ConfigJson = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        parameters = {k: v["string_value"] for k, v in config["parameters"].items()}
        self._scalars: list[str] = json.loads(parameters.get("scalars", "[]"))
        on_gpu = args["model_instance_kind"] == "GPU"
        gpu = int(args["model_instance_device_id"]) if on_gpu else None
        folder = Path(args["model_repository"]) / args["model_version"]
        if parameters["serve"] == "torch":
            self._codec: Any = TorchCodec(config)
            name = args["model_instance_name"]
            self._run: Runner[Any] = torch_runner(folder, parameters, gpu, name)
        else:
            self._codec = NumpyCodec()
            self._run = (
                onnx_runner(folder, parameters, gpu, self._outputs)
                if parameters["serve"] == "onnxruntime"
                else tensorrt_runner(folder, parameters, gpu, config, args["model_instance_name"])
            )

    def execute(self, requests: Sequence[object]) -> list[object]:
        """One response a request; what goes wrong is each request's error, never the process's."""
        try:
            batches = [self._read(request) for request in requests]
            results = self._run_together(batches)
            return [self._response(result) for result in results]
        except Exception as error:
            failed = pb_utils.TritonError(f"{type(error).__name__}: {error}")
            return [pb_utils.InferenceResponse(error=failed) for _ in requests]

    def _read(self, request: object) -> dict[str, Sized]:
        found = {n: pb_utils.get_input_tensor_by_name(request, n) for n in self._inputs}
        read = {n: self._codec.decode(t) for n, t in found.items() if t is not None}
        return {n: a.reshape(()) if n in self._scalars else a for n, a in read.items()}

    def _run_together(self, batches: Sequence[dict[str, Sized]]) -> list[list[object]]:
        """The outputs of each request, from one run over all of them."""
        if len(batches) == 1:
            return [list(self._run(batches[0]))]
        joined = {n: self._codec.join([b[n] for b in batches]) for n in batches[0]}
        first = next(iter(batches[0]))
        sizes = [len(batch[first]) for batch in batches]
        whole = [self._codec.split(output, sizes) for output in self._run(joined)]
        return [list(parts) for parts in zip(*whole, strict=True)]

    def _response(self, outputs: Sequence[object]) -> object:
        tensors = [
            self._codec.encode(name, output)
            for name, output in zip(self._outputs, outputs, strict=True)
        ]
        return pb_utils.InferenceResponse(output_tensors=tensors)


# ---------------------------------------------------------------------------- ONNX Runtime, numpy


class NumpyCodec:
    """Triton's tensors as numpy arrays."""

    def decode(self, tensor: NativeTensor) -> Array:
        """An input's array."""
        return tensor.as_numpy()

    def encode(self, name: str, array: Array) -> object:
        """An output's tensor."""
        return pb_utils.Tensor(name, np.ascontiguousarray(array))

    def join(self, arrays: Sequence[Array]) -> Array:
        """Requests, along the batch axis."""
        return np.concatenate(arrays)

    def split(self, array: Array, sizes: Sequence[int]) -> list[Array]:
        """What belongs to each request."""
        return np.split(array, np.cumsum(sizes)[:-1])


def onnx_runner(
    folder: Path, parameters: Mapping[str, str], gpu: int | None, outputs: Sequence[str]
) -> Runner[Array]:
    """A session on the CPU, or on a GPU without the silent fallback to the CPU.

    The ONNX file's path may be relative to the folder of this version.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    if "threads" in parameters:
        options.intra_op_num_threads = int(parameters["threads"])
    provider: Any = "CPUExecutionProvider"
    if gpu is not None:
        getattr(ort, "preload_dlls", lambda: None)()
        tf32 = "1" if parameters["precision"] == "tf32" else "0"
        provider = ("CUDAExecutionProvider", {"device_id": str(gpu), "use_tf32": tf32})
    session = ort.InferenceSession(str(folder / parameters["onnx"]), options, providers=[provider])
    wanted = provider if isinstance(provider, str) else provider[0]
    found = session.get_providers()[0]
    if found != wanted:
        raise RuntimeError(f"ONNX Runtime uses {found}; {wanted} is not available")
    names = list(outputs)
    return lambda arrays: session.run(names, arrays)


# ---------------------------------------------------------------------------------- TensorRT


def tensorrt_runner(
    folder: Path, parameters: Mapping[str, str], gpu: int | None, config: ConfigJson,
    instance: str,
) -> Runner[Array]:  # fmt: skip
    """The engine from the harness's cache, or built now, with a context of this instance's own."""
    from harness.errors import HarnessError
    from harness.triton.repository.engine import open_engine, write_loaded

    if gpu is None:
        raise RuntimeError("TensorRT runs on a GPU, and this instance is on the CPU")
    try:
        runner = open_engine(
            folder / "prepared.json", parameters, gpu, int(config["max_batch_size"]),
            [tensor["name"] for tensor in config["output"]],
        )  # fmt: skip
    except HarnessError as error:  # its fix would be lost on the way to the user
        raise RuntimeError("; ".join(filter(None, (error.message, error.fix)))) from None
    write_loaded(folder, instance, runner.facts)
    return runner


# ---------------------------------------------------------------------------------- PyTorch


class TorchCodec:
    """Triton's tensors as torch tensors; the only way to have bfloat16."""

    def __init__(self, config: ConfigJson) -> None:
        import torch

        self._torch = torch
        self._types = {t["name"]: t["data_type"] for t in config["output"]}

    def decode(self, tensor: NativeTensor) -> torch.Tensor:
        """An input's tensor, on the host."""
        return self._torch.utils.dlpack.from_dlpack(tensor.to_dlpack())

    def encode(self, name: str, tensor: torch.Tensor) -> object:
        """An output's tensor, in the configured type."""
        host = tensor.detach().cpu()
        if self._types[name] == "TYPE_BF16":
            exact = host.to(self._torch.bfloat16).reshape(host.shape or (1,)).contiguous()
            capsule = self._torch.to_dlpack(exact)  # type: ignore[attr-defined]
            return pb_utils.Tensor.from_dlpack(name, capsule)
        host = host.float() if host.dtype == self._torch.bfloat16 else host
        dtype = pb_utils.triton_string_to_numpy(self._types[name])
        return pb_utils.Tensor(name, np.ascontiguousarray(host.numpy(), dtype))

    def join(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Requests, along the batch axis."""
        return self._torch.cat(list(tensors))

    def split(self, tensor: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
        """What belongs to each request."""
        return self._torch.split(tensor, list(sizes))


def torch_runner(
    folder: Path, parameters: Mapping[str, str], gpu: int | None, instance: str
) -> Runner[torch.Tensor]:
    """The module as the harness rebuilds it, in the wanted precision, on the wanted device."""
    import torch

    from harness.models.mixed import Mixed
    from harness.models.sources import open_model
    from harness.models.tensors import PreparedModel
    from harness.models.torch_model import flatten
    from harness.triton.repository.engine import write_loaded

    if "threads" in parameters:
        torch.set_num_threads(int(parameters["threads"]))
    device = "cpu" if gpu is None else f"cuda:{gpu}"
    precision = parameters["precision"]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    prepared = PreparedModel.from_json(json.loads((folder / "prepared.json").read_text()))
    own = precision == prepared.precision  # also where its layers are quantized to it
    half = None if own else {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    model = open_model(prepared, device, half)
    facts: dict[str, object] = {}
    forward = Mixed(model.module, model.module, half, facts) if half else model.module
    if gpu is not None:
        torch.cuda.empty_cache()  # what loading needed for a moment is no weight

    def place(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(device, half if tensor.is_floating_point() else None)

    def run(tensors: dict[str, torch.Tensor]) -> Sequence[torch.Tensor]:
        args, kwargs = model.arguments({name: place(t) for name, t in tensors.items()})
        with torch.inference_mode():
            outputs = flatten(forward(*args, **kwargs))
        if facts:  # the first forward's note
            with contextlib.suppress(OSError):  # a repository that can't be written
                write_loaded(folder, instance, facts)
            facts.clear()
        return outputs

    return run
