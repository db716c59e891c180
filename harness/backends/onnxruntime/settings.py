"""What a scenario says of ONNX Runtime, and what the harness must know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.scenario.rules.base import Broken
from harness.scenario.spec.backend import IN_ONNX, BackendSettings
from harness.scenario.spec.fields import Device, FilePrecision, Threads
from harness.scenario.units import Size
from harness.system.check import Answer, Check, cpu_and_gpu, not_importable, probe
from harness.system.packages import onnxruntime_gpu_command

GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
_GPU_ONLY = ("gpu_memory_limit", "arena_extend_strategy", "cudnn_conv_algo_search", "cuda_graphs")
PROBE = """
import base64, json, numpy, onnxruntime as ort
MODEL = base64.b64decode(
    "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0=")
def run(*providers):
    session = ort.InferenceSession(MODEL, providers=providers)
    session.run(None, {"x": numpy.ones(1, "float32")})
    return session.get_providers()
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
there, why = run(CPU), "without the CUDA provider"
if CUDA in ort.get_available_providers():
    why = "its CUDA provider does not start: see what it prints with `device: cuda`"
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    try:
        there = run(CUDA, CPU)
    except Exception as error:
        why = str(error).splitlines()[0]
print(json.dumps({"version": ort.__version__, "providers": there, "why_not": why}))
"""
"""An identity (y = x) is run: a provider that is there may lack a library, or a driver."""


class OnnxRuntimeSettings(BackendSettings):
    """ONNX Runtime in this process."""

    sources: ClassVar = IN_ONNX
    start_seconds: ClassVar = 3.0
    for_gpu: ClassVar = "provider: CUDAExecutionProvider"
    packages: ClassVar = ("onnxruntime", "onnxruntime-gpu")

    kind: Literal["onnxruntime"] = Field(description="which backend; the other keys depend on it")
    provider: Literal[
        "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
    ] = Field(
        "CPUExecutionProvider", description="the execution provider; a silent fallback is an error"
    )
    device: Device | None = Field(None, description="which GPU, for a GPU's provider")
    precision: FilePrecision = Field(
        "fp32",
        description="of weights and arithmetic; tf32 on a GPU only; int8, bf16, and what an "
        "ONNX file is in by default, of a file that is so",
    )
    threads: Threads | None = Field(None, description="intra-op threads; default: ORT's")
    graph_optimization_level: Literal[
        "ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL"
    ] = Field("ORT_ENABLE_ALL", description="how far the graph is rewritten at load")
    gpu_memory_limit: Size | None = Field(
        None, description="most that the CUDA arena may take; default: no limit"
    )
    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = Field(
        None, description="how the CUDA arena grows; default: ORT's, kNextPowerOfTwo"
    )
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] | None = Field(
        None, description="how cuDNN's algorithms are chosen; default: ORT's, EXHAUSTIVE"
    )
    cuda_graphs: bool = Field(
        False, description="capture a graph per shape and replay it; needs `io: device`"
    )

    @property
    def default_name(self) -> str:
        """By provider, precision and whether graphs are replayed."""
        provider = self.provider.removesuffix("ExecutionProvider").lower()
        return f"onnxruntime-{provider}-{self.mode}"

    @property
    def on_gpu(self) -> bool:
        """By the provider; `device` says only which GPU."""
        return self.provider in GPU_PROVIDERS

    @property
    def formats(self) -> frozenset[str]:
        """A converted file for fp16."""
        return frozenset({"onnx_fp16" if self.precision == "fp16" else "onnx"})

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        if not self.on_gpu:
            why = "goes with a GPU's provider, and this one runs on the CPU"
            yield from self.idle(why, *_GPU_ONLY)
        if self.cuda_graphs and self.io != "device":
            message = "ONNX Runtime replays a graph on fixed device memory; add `io: device`"
            yield Broken(("cuda_graphs",), message, lacks=("io",))
        if self.device is None:
            return
        if not self.on_gpu and self.device != "cpu":
            message = f"{self.device} needs `provider: CUDAExecutionProvider`; this one runs on the"
            yield Broken(("device",), f"{message} CPU")
        if self.on_gpu and self.device == "cpu":
            name = "CUDA" if self.provider == "CUDAExecutionProvider" else "TensorRT"
            message = f"the {name} provider runs on a GPU; write `device: cuda`"
            yield Broken(("device",), message)

    @classmethod
    def checks(cls, gpu: bool) -> list[Check]:
        """ONNX Runtime with the CPU and the CUDA provider."""
        return judge(probe(PROBE), gpu)


def judge(answer: Answer, gpu: bool) -> list[Check]:
    """What the probe's answer means, on a machine with a GPU or without."""
    if isinstance(answer, str):
        return [not_importable("onnxruntime", "onnxruntime", answer)]
    version, providers = str(answer["version"]), answer["providers"]
    cuda = isinstance(providers, list) and "CUDAExecutionProvider" in providers
    why_not = None if cuda else answer["why_not"]
    fix = onnxruntime_gpu_command()
    return cpu_and_gpu("onnxruntime", version, version, why_not, gpu, fix)
