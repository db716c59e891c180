"""Which GPU: `cuda`, `cuda:1`, `GPU-<uuid>` or `MIG-<uuid>`, for every in-process runtime."""

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
