"""Requests whose tensors lie in shared memory: the message carries names of regions only.

Each request gets input and output regions of its own, registered with the server through
tritonclient. Two requests in flight must not write the same outputs, so make at least as many
requests as there are slots and set `pinned` in the plan::

    with SharedRegions("http", address) as regions:
        for tensors in inputs:
            pairs = regions.add(tensors, {"y": np.empty((1, 16), np.float32)})
            requests.append(http_request(address, model, *pairs))
        ...                              # the load
        regions.outputs(0)               # what the server wrote last for request 0
"""

from __future__ import annotations

import importlib
import secrets
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from harness.backends.base import Tensors
from harness.errors import ServerError

Kind = Literal["system", "cuda"]


@dataclass(frozen=True, slots=True)
class _Region:
    name: str
    handle: Any
    size: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class SharedRegions:
    """Regions in host memory (`system`) or on a GPU (`cuda`); freed and unregistered on exit."""

    def __init__(
        self, protocol: str, address: str, *, kind: Kind = "system", device: int = 0
    ) -> None:
        library = "shared_memory" if kind == "system" else "cuda_shared_memory"
        self._library = importlib.import_module(f"tritonclient.utils.{library}")
        self._client_module = importlib.import_module(f"tritonclient.{protocol}")
        self._client = self._client_module.InferenceServerClient(address)
        self._kind, self._device = kind, device
        self._prefix = f"wire-{secrets.token_hex(4)}"
        self._regions: list[_Region] = []
        self._outputs: list[dict[str, _Region]] = []

    def add(self, inputs: Tensors, outputs: Tensors) -> tuple[list[Any], list[Any]]:
        """tritonclient's input and output objects of one more request.

        `outputs` holds an array of the right dtype and shape for each output (batch included);
        its values are not used. Raises ServerError when the server refuses a region.
        """
        ins = [self._input(name, array) for name, array in inputs.items()]
        mine = {name: self._register(array) for name, array in outputs.items()}
        self._outputs.append(mine)
        return ins, [self._output(name, region) for name, region in mine.items()]

    def outputs(self, request: int) -> dict[str, NDArray[Any]]:
        """Copies of what the server wrote last for the request that was added as this one."""
        return {
            name: np.array(
                self._library.get_contents_as_numpy(r.handle, r.dtype.type, list(r.shape))
            )
            for name, r in self._outputs[request].items()
        }

    def _input(self, name: str, array: NDArray[Any]) -> Any:
        from tritonclient.utils import np_to_triton_dtype

        exact = np.ascontiguousarray(array)
        region = self._register(exact)
        self._library.set_shared_memory_region(region.handle, [exact])
        datatype = np_to_triton_dtype(exact.dtype)
        tensor = self._client_module.InferInput(name, list(exact.shape), datatype)
        tensor.set_shared_memory(region.name, region.size)
        return tensor

    def _output(self, name: str, region: _Region) -> Any:
        output = self._client_module.InferRequestedOutput(name)
        output.set_shared_memory(region.name, region.size)
        return output

    def _register(self, like: NDArray[Any]) -> _Region:
        from tritonclient.utils import InferenceServerException

        name = f"{self._prefix}-{len(self._regions)}"
        size = like.nbytes
        if self._kind == "system":
            handle = self._library.create_shared_memory_region(name, name, size, create_only=True)
        else:
            handle = self._library.create_shared_memory_region(name, size, self._device)
        region = _Region(name, handle, size, like.dtype, like.shape)
        self._regions.append(region)
        try:
            if self._kind == "system":
                self._client.register_system_shared_memory(name, name, size)
            else:
                raw = self._library.get_raw_handle(handle)
                self._client.register_cuda_shared_memory(name, raw, self._device, size)
        except InferenceServerException as error:
            raise ServerError(
                f"Triton refuses {self._kind} shared memory: {error.message()}",
                fix="`io: shared_memory` needs a server on this machine (same IPC namespace)",
            ) from None
        return region

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for region in self._regions:
            self._unregister(region.name)
            self._library.destroy_shared_memory_region(region.handle)
        self._client.close()

    def _unregister(self, name: str) -> None:
        """A server that is gone, or never knew the region, is no reason to keep the memory."""
        from tritonclient.utils import InferenceServerException

        try:
            if self._kind == "system":
                self._client.unregister_system_shared_memory(name)
            else:
                self._client.unregister_cuda_shared_memory(name)
        except (InferenceServerException, OSError):
            return
