"""Rules of one backend, and its default name."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.rules.base import Broken, Data, as_list, as_map, as_numbers, each, under
from harness.scenario.rules.colocated import colocated, colocated_it
from harness.scenario.rules.server import server
from harness.scenario.rules.triton import GPU_PROVIDERS, engine_on_server, tf32_on_cuda, varied


def backend(data: Data) -> Iterator[Broken]:
    """Rules of one backend by itself."""
    kind = data.get("kind")
    yield from tf32_on_cuda(data)
    if kind == "onnxruntime":
        yield from _provider(data)
    if kind == "tensorrt":
        yield from _tensorrt(data)
    if kind == "triton":
        yield from under(("server",), server(as_map(data.get("server"))))
        if data.get("serve") is not None:
            yield from engine_on_server(data)
        yield from varied(data)
        yield from each(data.get("colocated"), "colocated", colocated)
        yield from colocated_it(data)


_CUDA_ONLY = ("gpu_memory_limit", "arena_extend_strategy", "cudnn_conv_algo_search", "cuda_graphs")


def _provider(data: Data) -> Iterator[Broken]:
    device = data.get("device")
    provider = data.get("provider") or "CPUExecutionProvider"
    for key in _CUDA_ONLY if provider == "CPUExecutionProvider" else ():
        if data.get(key):
            message = "goes with a GPU's provider, and this one runs on the CPU; remove it"
            yield Broken((key,), message, on_key=True)
    if data.get("cuda_graphs") and data.get("io") != "device":
        message = "ONNX Runtime replays a graph on fixed device memory; add `io: device`"
        yield Broken(("cuda_graphs",), message, lacks=("io",))
    if device is None:
        return
    if provider == "CPUExecutionProvider" and device != "cpu":
        message = f"{device} needs `provider: CUDAExecutionProvider`; this one runs on the CPU"
        yield Broken(("device",), message)
    if provider in GPU_PROVIDERS and device == "cpu":
        words = {"CUDAExecutionProvider": "CUDA"}.get(str(provider), "TensorRT")
        yield Broken(("device",), f"the {words} provider runs on a GPU; write `device: cuda`")


def _tensorrt(data: Data) -> Iterator[Broken]:
    if data.get("device") == "cpu":
        yield Broken(("device",), "TensorRT runs on a GPU; write `device: cuda`")
    profile = as_map(data.get("profile"))
    low, best, high = (profile.get(key) for key in ("min", "opt", "max"))
    if profile.get("each") is True and any(n is not None for n in (low, best, high)):
        yield Broken(("profile",), "give `each`, or min, opt and max, not both")
    sizes = as_numbers([n for n in (low, best, high) if n is not None])
    if sizes != sorted(sizes):
        yield Broken(("profile",), "min ≤ opt ≤ max must hold")
    for word, three in as_map(profile.get("dynamic")).items():
        if as_numbers(three) != sorted(as_numbers(three)):
            yield Broken(("profile", "dynamic", word), "write [min, opt, max], smallest first")


def default_name(data: Data) -> str | None:
    """The backend's name: as written, or made from the settings that tell backends apart."""
    if data.get("name"):
        return str(data["name"])
    kind, precision = data.get("kind"), data.get("precision") or "fp32"
    device = "cpu" if kind == "torch" else "cuda"
    device = str(data.get("device") or device).replace(":", "")
    mode = f"{precision}-graphs" if data.get("cuda_graphs") else str(precision)
    if kind == "torch":
        return f"torch-{device}-{mode}" + ("-compiled" if data.get("compile") else "")
    if kind == "onnxruntime":
        provider = str(data.get("provider") or "CPUExecutionProvider")
        return f"onnxruntime-{provider.removesuffix('ExecutionProvider').lower()}-{mode}"
    if kind == "tensorrt":
        flavor = data.get("flavor") or "auto"
        return f"{'tensorrt' if flavor == 'auto' else flavor}-{mode}"
    if kind == "triton" and data.get("protocol") in ("http", "grpc"):
        served = [data["serve"]] if data.get("serve") else []
        words = ["triton", data["protocol"], *served, *([mode] if mode != "fp32" else [])]
        words += ["tritonclient"] if data.get("client") == "tritonclient" else []
        words += {"shared_memory": ["shm"], "cuda_shared_memory": ["cudashm"]}.get(
            str(data.get("io")), []
        )
        others = [as_map(other).get("name") for other in as_list(data.get("colocated"))]
        words += ["with", *filter(None, others)] if others else []
        return "-".join(map(str, words))
    return "fake" if kind == "fake" else None
