"""The versions of what ran the model: as the backends said when they loaded, else the packages'."""

from __future__ import annotations

from collections.abc import Iterable

from harness.report.model.context import Context
from harness.report.model.manifest_facts import gpus, mapping, text

FLAVORS = {"tensorrt": "TensorRT", "tensorrt-rtx": "TensorRT-RTX"}


def runtimes(context: Context) -> list[tuple[str, str]]:
    """(name, version) of each runtime and server; several versions in one entry."""
    packages = mapping(context.manifest, "packages")
    details = [load.details for load in context.data.loads]
    served = [d for d in details if d.get("server") == "triton"]
    said = _distinct(d.get("onnxruntime") for d in details)
    packaged = (packages.get(n) for n in ("onnxruntime-gpu", "onnxruntime"))  # what shadows first
    found = [
        ("torch", text(packages, "torch", default="")),
        ("ONNX Runtime", said or _distinct(packaged).partition(", ")[0]),
        *(
            (name, _distinct(d.get("tensorrt") for d in details if d.get("flavor") == flavor))
            for flavor, name in FLAVORS.items()
        ),
        ("Triton", _distinct(d.get("server_version") for d in served)),
    ]
    return [(name, version) for name, version in found if version]


def driver(context: Context) -> str:
    """The GPUs' driver; empty without one."""
    return _distinct(text(gpu, "driver", default="") for gpu in gpus(context.manifest))


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(str(v) for v in values if v))
