"""What a scenario says of eager PyTorch, and what the harness must know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.scenario.rules.base import Broken
from harness.scenario.spec.backend import IN_TORCH, BackendSettings, CallersIn
from harness.scenario.spec.fields import Device, FilePrecision, Threads
from harness.scenario.units import Size
from harness.system.check import Answer, Check, cpu_and_gpu, not_importable, probe
from harness.system.packages import install_command

PROBE = """
import json, torch
def run(device):
    return (torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)).sum().item()
run("cpu")
try:
    torch.cuda.init()
    run("cuda")
    why = None
except Exception as error:
    why = str(error).splitlines()[0]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "why_not": why}))
"""
PYPI = "--force-reinstall --index-url https://pypi.org/simple"


class TorchSettings(BackendSettings):
    """Eager PyTorch in this process."""

    sources: ClassVar = IN_TORCH
    start_seconds: ClassVar = 4.0
    packages: ClassVar = ("torch", "torchvision")

    kind: Literal["torch"] = Field(description="which backend; the other keys depend on it")
    device: Device = Field("cpu", description="cpu, cuda, cuda:N, or a GPU's or MIG device's UUID")
    precision: FilePrecision = Field(
        "fp32", description="of weights and arithmetic; tf32 on cuda only; or what the module is in"
    )
    threads: Threads | None = Field(None, description="intra-op threads; default: PyTorch's")
    compile: bool = Field(False, description="torch.compile, for every shape, instead of eager")
    channels_last: bool = Field(
        False, description="weights and inputs of four dimensions in the layout N, H, W, C"
    )
    gpu_memory_limit: Size | None = Field(
        None,
        description="most that the CUDA caching allocator may take; context and libraries are not "
        "in it; default: no limit",
    )
    callers: CallersIn | None = Field(None, description="default: streams if compiled for a GPU")

    @property
    def default_name(self) -> str:
        """By device, precision and whether it is compiled."""
        device, compiled = self.device.replace(":", ""), "compiled" if self.compile else ""
        layout = "channels-last" if self.channels_last else ""
        marks = (device, self.precision, layout, compiled, self.callers)
        return "-".join(["torch", *filter(None, marks)])

    @property
    def formats(self) -> frozenset[str]:
        """The module itself."""
        return frozenset({"torch"})

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        if not self.on_gpu:
            yield from self.idle("goes with a GPU", "callers", "gpu_memory_limit")

    @classmethod
    def checks(cls, gpu: bool) -> list[Check]:
        """PyTorch on the CPU and on CUDA."""
        return judge(probe(PROBE), gpu)


def judge(answer: Answer, gpu: bool) -> list[Check]:
    """What the probe's answer means, on a machine with a GPU or without."""
    if isinstance(answer, str):
        return [not_importable("torch", "torch", answer)]
    version = str(answer["version"])
    detail = f"{version}, " + (f"CUDA {answer['cuda']}" if answer["cuda"] else "without CUDA")
    fix = f"{install_command('torch')} {PYPI}"
    if answer["cuda"]:
        fix = "update the NVIDIA driver, or install a torch built for the driver you have"
    return cpu_and_gpu("torch", version, detail, answer["why_not"], gpu, fix)
