"""Which backends can run here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.doctor.check import MISSING, NOTE, OK, Check
from harness.doctor.probe import TIMEOUT_S, probe
from harness.errors import HarnessError
from harness.system.packages import install_command, onnxruntime_gpu_command

GROUP = "Backends"
PYPI = "--force-reinstall --index-url https://pypi.org/simple"

TORCH = """
import json, torch
try:
    torch.cuda.init()
    why = None
except Exception as error:
    why = str(error).splitlines()[0]
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "why_not": why}))
"""
ONNXRUNTIME = """
import json, onnxruntime
print(json.dumps({"version": onnxruntime.__version__,
                  "providers": onnxruntime.get_available_providers()}))
"""
TRITON_CLIENT = """
import json, importlib.metadata, tritonclient.http, tritonclient.grpc
print(json.dumps({"version": importlib.metadata.version("tritonclient")}))
"""
TENSORRT = """
import importlib, json
try:
    import tensorrt as trt
except ModuleNotFoundError:
    import tensorrt_rtx as trt
memory, why_not = None, []
for library, module in (("pycuda", "pycuda.driver"), ("cuda-python", "cuda.bindings.runtime")):
    try:
        importlib.import_module(module)
        memory = library
        break
    except ImportError as error:
        why_not.append(f"{library}: {error}")
print(json.dumps({"version": trt.__version__, "name": trt.__name__, "memory": memory,
                  "why_not": "; ".join(why_not)}))
"""
Answer = dict[str, Any] | str


def backend_checks(gpus: Sequence[Any]) -> list[Check]:
    """One or two checks a backend; the probes run side by side."""
    probes = (TORCH, ONNXRUNTIME, TRITON_CLIENT, TENSORRT)
    with ThreadPoolExecutor(len(probes)) as pool:
        torch, onnxruntime, client, tensorrt = pool.map(probe, probes)
    return [
        *torch_checks(torch, bool(gpus)),
        *onnxruntime_checks(onnxruntime, bool(gpus)),
        *triton_checks(client),
        tensorrt_check(tensorrt, bool(gpus)),
    ]


def _broken(name: str, module: str, reason: str) -> Check:
    """A package that can't be imported: not installed, or installed and broken."""
    if reason.startswith("ModuleNotFoundError"):
        reason = f"not installed ({reason.partition(': ')[2]})"
    return Check(GROUP, name, MISSING, reason, install_command(module))


def _on_gpu(name: str, detail: str, why_not: str | None, gpu: bool, fix: str) -> Check:
    """The CUDA half of a backend: a note on a machine without a GPU, a fault on one with it."""
    if not gpu:
        return Check(GROUP, name, NOTE, "no GPU here")
    if why_not is None:
        return Check(GROUP, name, OK, detail, runs=True)
    return Check(GROUP, name, MISSING, f"{detail}: {why_not}", fix)


def torch_checks(answer: Answer, gpu: bool) -> list[Check]:
    """PyTorch on the CPU and on CUDA."""
    if isinstance(answer, str):
        return [_broken("torch", "torch", answer)]
    version = answer["version"]
    detail = f"{version}, " + (f"CUDA {answer['cuda']}" if answer["cuda"] else "without CUDA")
    fix = f"{install_command('torch')} {PYPI}"
    if answer["cuda"]:
        fix = "update the NVIDIA driver, or install a torch built for the driver you have"
    return [
        Check(GROUP, "torch (cpu)", OK, version, runs=True),
        _on_gpu("torch (cuda)", detail, answer["why_not"], gpu, fix),
    ]


def onnxruntime_checks(answer: Answer, gpu: bool) -> list[Check]:
    """ONNX Runtime with the CPU and the CUDA provider."""
    if isinstance(answer, str):
        return [_broken("onnxruntime", "onnxruntime", answer)]
    cuda = "CUDAExecutionProvider" in answer["providers"]
    why_not = None if cuda else "without the CUDA provider"
    return [
        Check(GROUP, "onnxruntime (cpu)", OK, answer["version"], runs=True),
        _on_gpu("onnxruntime (cuda)", answer["version"], why_not, gpu, onnxruntime_gpu_command()),
    ]


def triton_checks(client: Answer) -> list[Check]:
    """The client packages and the embedded server; the backend needs both."""
    if isinstance(client, str):
        return [_broken("triton client", "tritonclient", client), triton_server(runs=False)]
    return [Check(GROUP, "triton client", OK, client["version"]), triton_server(runs=True)]


def triton_server(*, runs: bool) -> Check:
    """Whether the embedded server is installed and its binary starts."""
    fix = "harness triton install"
    try:
        from harness.triton.server.install import find, library_path

        install = find()
        done = subprocess.run(
            [str(install.binary), "--help"], capture_output=True, timeout=TIMEOUT_S, check=False,
            env={**os.environ, "LD_LIBRARY_PATH": library_path(install)},
        )  # fmt: skip
    except HarnessError as error:
        return Check(GROUP, "triton server", MISSING, error.message, error.fix or fix)
    except (OSError, ImportError, subprocess.TimeoutExpired) as error:
        return Check(GROUP, "triton server", MISSING, f"does not start: {error}", fix)
    if b"--model-repository" not in done.stdout + done.stderr:
        why = done.stderr.decode(errors="replace").strip()[-200:] or f"exit {done.returncode}"
        return Check(GROUP, "triton server", MISSING, f"does not start: {why}", fix)
    return Check(GROUP, "triton server", OK, f"nvidia-pytriton {install.version}", runs=runs)


def tensorrt_check(answer: Answer, gpu: bool) -> Check:
    """TensorRT or TensorRT-RTX; without a GPU it can only build engines."""
    if isinstance(answer, str):
        return _broken("tensorrt", "tensorrt_rtx", answer)
    detail = f"{answer['name']} {answer['version']}"
    if gpu and answer["memory"] is None:
        missing = f"{detail} needs pycuda or cuda-python, one of both ({answer['why_not']})"
        return Check(GROUP, "tensorrt", MISSING, missing, install_command("cuda"))
    if not gpu:
        return Check(GROUP, "tensorrt", NOTE, f"no GPU here; {detail} builds engines only")
    return Check(GROUP, "tensorrt", OK, f"{detail}, {answer['memory']}", runs=True)
