"""What both Triton protocols share: the model on the server, its checks, and failures in words."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.backends.base import BackendContext, LoadCost
from harness.errors import DeadlineError, HarnessError, ServerDiedError, ServerError, translate
from harness.models.tensors import Tensors
from harness.scenario.spec.server import access_of
from harness.system.credentials import redact
from harness.system.network import PLAIN, Access, split_address
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import to_triton
from harness.triton.metadata import Description, check_inputs, is_flat

CONNECT_S = 2.0
"""How long the probe of a broken connection waits to be refused."""
LONGEST = 400
"""Characters of a server's answer that are passed on: a proxy may send a whole page."""
DYING_S = 0.2
"""A killed server's port may outlive its connections by the moment the kernel needs."""

_STUB_DIED = re.compile(r"^Stub process '.*' is not healthy")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    address: str
    name: str
    timeout: float
    """Seconds that a request may take."""
    flat: frozenset[str] = frozenset()
    """Outputs of the shape (batch,), which Triton can only send as (batch, 1)."""
    access: Access = PLAIN


def target(spec: TritonSettings, context: BackendContext) -> Target:
    """The server and model of this backend.

    Raises ServerError when there is no address, SetupError for a variable that is not set.
    """
    address = context.server_http if spec.protocol == "http" else context.server_grpc
    if address is None:
        raise ServerError(f"no address of a Triton server for {spec.protocol}")
    split_address(address)
    name = context.served_name or context.model.name
    flat = frozenset(o.name for o in context.model.outputs if len(o.shape) == 1)
    return Target(address, name, context.request_timeout, flat, access_of(spec.server))


def load_cost(
    spec: TritonSettings, context: BackendContext, fetch: Callable[[], Description],
    server: Callable[[], Mapping[str, Any]],
) -> tuple[Description, LoadCost]:  # fmt: skip
    """Read and check what the server says about the model; what that took, and the facts.

    The seconds are those of connecting and checking: the server loaded the model before.
    """
    began = time.monotonic()
    found = fetch()
    if context.model.inputs:
        check_inputs(found, context.model)
    about = server()
    details = {
        "server": about.get("name", ""), "server_version": about.get("version", ""),
        "model_version": ", ".join(found.versions), "max_batch_size": found.max_batch_size,
        "protocol": spec.protocol, "client": spec.client, "config": found.config,
    }  # fmt: skip
    return found, LoadCost(time.monotonic() - began, None, details)


def request_inputs(found: Description, inputs: Tensors, make: Callable[..., Any]) -> list[Any]:
    """The client's input objects, filled; `make(name, shape, datatype)` makes one.

    Raises ServerError when the batch is larger than the server takes, or not the one it is made
    for.
    """
    filled = []
    for name, (array, datatype) in encoded(found, inputs).items():
        tensor = make(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        filled.append(tensor)
    return filled


def encoded(found: Description, inputs: Tensors) -> dict[str, tuple[NDArray[Any], str]]:
    """The inputs as they travel, each with what Triton calls its type.

    Raises ServerError as `request_inputs` does.
    """
    from tritonclient.utils import triton_to_np_dtype

    check_batch(found, inputs)
    specs = {spec.name: spec for spec in found.signature.inputs}
    ready = {}
    for name, array in inputs.items():
        spec = specs[name]
        datatype = to_triton(spec.dtype, name)
        exact = np.ascontiguousarray(array)
        if is_flat(exact.shape, spec.shape):
            exact = exact.reshape(-1, 1)
        if datatype == "BF16":  # float32 that holds bfloat16 exactly, as `models.inputs` makes it
            exact = exact.astype(triton_to_np_dtype("BF16"))
        ready[name] = exact, datatype
    return ready


def check_batch(found: Description, inputs: Tensors) -> None:
    """Raise ServerError when the server would refuse this batch size."""
    shapes = {spec.name: spec.shape for spec in found.signature.inputs}
    for name, array in inputs.items():
        batch, limit = (array.shape or (1,))[0], found.max_batch_size
        if 0 < limit < batch:
            raise ServerError(
                f"batch {batch} is more than the max_batch_size {limit} of '{found.name}' on the "
                "server",
                fix=f"use batch sizes up to {limit}, or raise max_batch_size",
            )
        first = (shapes.get(name) or ("",))[0]
        if not limit and isinstance(first, int) and first != batch:
            raise ServerError(
                f"'{found.name}' on the server does not batch: its input '{name}' has {first} as "
                f"its first size, the request has {batch}"
            )


def outputs(target: Target, names: Iterable[str], reply: Any) -> Tensors:
    """A reply's arrays, as `to_host` makes them."""
    return {name: to_host(reply.as_numpy(name), name in target.flat) for name in names}


def all_to_host(target: Target, arrays: Tensors) -> Tensors:
    """Outputs as the server wrote them, each as `to_host` makes it."""
    return {name: to_host(array, name in target.flat) for name, array in arrays.items()}


def to_host(array: NDArray[Any], flat: bool = False) -> NDArray[Any]:
    """One output: bfloat16 as float32 (exact); `flat` drops the 1 behind the batch."""
    found = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    return found.reshape(-1) if flat and found.shape[1:] == (1,) else found


def refused(address: str) -> bool:
    """Whether nobody listens there any more."""
    deadline = time.monotonic() + DYING_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(split_address(address), CONNECT_S).close()
        except OSError:
            return True
        time.sleep(DYING_S / 4)
    return False


def answered(message: str) -> HarnessError:
    """The error for an error that the server answered with."""
    if _STUB_DIED.search(message):  # Triton does not start another
        return ServerDiedError(f"the Triton server lost a Python process of its model: {message}")
    return type(translate(RuntimeError(message)))(message)


def late(target: Target) -> DeadlineError:
    """The error of a request that took too long."""
    return DeadlineError(f"no answer from Triton within {target.timeout:g} s")


def broken(target: Target, error: Exception) -> HarnessError:
    """The error of a connection that broke: the server died, or only the connection."""
    if refused(target.address):
        return ServerDiedError(f"the Triton server at {target.address} is gone: {_words(error)}")
    return translate(error, "the connection to Triton broke")


def unreachable(target: Target, error: Exception) -> ServerError:
    """The error of a server that can't be talked to at load."""
    return ServerError(
        f"Triton at {target.address} can't be reached: {_words(error)}",
        fix="check that it runs and that url is host:port of this protocol",
    )


def said(error: Any) -> str:
    """What the server, or a proxy before it, answered: one line, of a length that can be read."""
    text = " ".join(redact(str(error.message())).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
