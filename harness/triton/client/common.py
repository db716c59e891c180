"""What both Triton protocols share: where the model is, and its tensors as they travel."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from harness.backends.base import BackendContext
from harness.errors import BackendError, EmptyOutputError, ServerError
from harness.models.strings import STRING, as_text
from harness.models.tensors import Array, Tensors, TensorSpec
from harness.scenario.spec.server import access_of
from harness.system.network import PLAIN, Access, split_address
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import NUMPY, to_triton
from harness.triton.metadata import Description, is_short

CONNECT_S = 2.0
"""How long the probe of a broken connection waits to be refused."""
SETUP_S = 10.0
"""How long the calls for everything but requests may take together, at least."""


@dataclass(frozen=True, slots=True)
class ServerTarget:
    """Where requests go."""

    address: str
    name: str
    timeout: float
    """Seconds that a request may take."""
    short: Mapping[str, int] = field(default_factory=dict)
    """Outputs that are scalars (0) or have the batch only (1): Triton sends a 1 behind that."""
    access: Access = PLAIN
    version: str = ""
    """Of the model; empty for the server's choice."""


def target(spec: TritonSettings, context: BackendContext) -> ServerTarget:
    """The server and model of this backend.

    Raises ServerError when there is no address, SetupError for a variable that is not set.
    """
    address = context.server.of(spec.protocol)
    if address is None:
        raise ServerError(f"no address of a Triton server for {spec.protocol}")
    split_address(address)
    name = context.server.name or context.model.name
    short = {o.name: len(o.shape) for o in context.model.outputs if len(o.shape) < 2}
    access, version = access_of(spec.server), str(spec.version or "")
    return ServerTarget(address, name, context.request_timeout, short, access, version)


InferInput: TypeAlias = Any
"""An input of the official client, which has no types."""


def new_input(protocol: str, name: str, shape: Sequence[int], datatype: str) -> InferInput:
    """An empty one, of this protocol's client."""
    module = importlib.import_module(f"tritonclient.{protocol}")
    made: InferInput = module.InferInput(name, list(shape), datatype)
    return made


def request_inputs(found: Description, inputs: Tensors, protocol: str) -> list[InferInput]:
    """The client's input objects, filled.

    Raises ServerError when the batch is larger than the server takes, or not the one it is made
    for.
    """
    filled = []
    for name, (array, datatype) in encoded(found, inputs).items():
        tensor = new_input(protocol, name, array.shape, datatype)
        tensor.set_data_from_numpy(array)
        filled.append(tensor)
    return filled


def encoded(found: Description, inputs: Tensors) -> dict[str, tuple[Array, str]]:
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
        exact = np.asarray(array, order="C")
        if is_short(array.shape, spec.shape):
            exact = exact.reshape(*array.shape, 1)
        if spec.dtype == STRING:
            exact = exact.astype(object)
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


TritonReply: TypeAlias = Any
"""`InferResult` of tritonclient."""


def output_shape(reply: TritonReply, name: str) -> tuple[int, ...]:
    """The shape that an answer says an output has, wherever it is."""
    output = reply.get_output(name)
    return tuple(output["shape"] if isinstance(output, dict) else output.shape)


def output_spec(reply: TritonReply, name: str) -> TensorSpec:
    """The type and the shape that an answer says an output has."""
    output = reply.get_output(name)
    datatype: str = output["datatype"] if isinstance(output, dict) else output.datatype
    return TensorSpec(name, NUMPY.get(datatype, datatype), output_shape(reply, name))


def output_array(reply: TritonReply, name: str) -> Array:
    """One output of an answer, as the client gives it.

    Raises EmptyOutputError where the answer holds none of it, BackendError where not all.
    """
    try:
        array: Array = reply.as_numpy(name)
    except ValueError as error:  # numpy: cannot reshape array of size 0 into shape (1,3)
        shape = output_shape(reply, name)
        if "of size 0" not in str(error):
            raise BackendError(f"output '{name}' is not all there for its shape {shape}") from None
        raise EmptyOutputError(
            f"the server answers with empty outputs: '{name}' is said to have the shape {shape} "
            "and comes without a byte",
            fix="a Triton before 24.11 does so where its Python models use numpy 2: there, "
            "install 'numpy<2' or take a newer Triton",
        ) from None
    return array


def all_to_host(target: ServerTarget, arrays: Tensors) -> Tensors:
    """Outputs as the server wrote them, each as `to_host` makes it."""
    return {name: to_host(array, target.short.get(name)) for name, array in arrays.items()}


def to_host(array: Array, short: int | None = None) -> Array:
    """One output: bfloat16 as float32 (exact), strings as text, without the 1 behind its `short`
    dimensions.
    """
    found = array.astype(np.float32) if array.dtype.name == "bfloat16" else as_text(array)
    longer = short is not None and found.shape[short:] == (1,)
    return found.reshape(found.shape[:-1]) if longer else found
