"""Which GPU (`cuda`, `cuda:1`, `GPU-<uuid>`, `MIG-<uuid>`), and whether it may compute in TF32."""

from __future__ import annotations

import os


def select_gpu(device: str) -> int:
    """The index under which this process sees the GPU; call it before CUDA starts.

    A UUID is made the process's only visible device (the one way that also works for MIG), so its
    index is 0. A worker has one backend, so nothing else in the process wants another GPU.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as nvidia-smi counts
    if device.startswith(("GPU-", "MIG-")):
        os.environ["CUDA_VISIBLE_DEVICES"] = device
        return 0
    return int(device.partition(":")[2] or 0)


TF32_OVERRIDE = "NVIDIA_TF32_OVERRIDE"
"""0: NVIDIA's libraries never use TF32, whatever they were told. No other value means anything."""


def set_tf32(precision: str) -> None:
    """Forbid TF32 to all of NVIDIA's libraries for fp32, allow it for tf32; else change nothing.

    Call it before any of them is loaded: they read the variable once. TensorRT records it in the
    engine and wants the same when it runs one.
    """
    if precision == "fp32":
        os.environ[TF32_OVERRIDE] = "0"
    elif precision == "tf32":
        os.environ.pop(TF32_OVERRIDE, None)
