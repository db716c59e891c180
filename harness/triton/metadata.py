"""What a server says about a model: its inputs and outputs, and whether ours fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from harness.errors import ModelRefusedError
from harness.models.tensors import PreparedModel, Signature, TensorSpec
from harness.scenario.spec.fields import BATCH
from harness.system.packages import require
from harness.triton.dtypes import TRITON, to_numpy


class ConfigMessage(Protocol):
    """Triton's message, as far as it is used here; protobuf's own classes have no types."""

    name: str
    backend: str
    platform: str
    max_batch_size: int
    input: Any
    output: Any
    instance_group: Any
    dynamic_batching: Any
    ensemble_scheduling: Any
    model_transaction_policy: Any
    optimization: Any
    parameters: Any
    DESCRIPTOR: Any

    def HasField(self, name: str, /) -> bool:  # noqa: N802
        """Whether a message within this one is there."""
        ...

    def ClearField(self, name: str, /) -> None:  # noqa: N802
        """Take a field out."""
        ...


class Metadata(Protocol):
    """The server's `ModelMetadataResponse`, as far as it is used here."""

    name: str
    versions: Sequence[str]
    inputs: Sequence[TensorMetadata]
    outputs: Sequence[TensorMetadata]


class TensorMetadata(Protocol):
    """One of its inputs or outputs."""

    name: str
    datatype: str
    shape: Sequence[int]


@dataclass(frozen=True, slots=True)
class Proto:
    """Triton's configuration messages, and how they become text."""

    ModelConfig: Callable[..., ConfigMessage]
    ModelInstanceGroup: Any
    DataType: Any
    ModelMetadata: Callable[..., Metadata]
    text: Callable[[object], str]
    from_text: Callable[[str, ConfigMessage], ConfigMessage]
    from_dict: Callable[[object, Any], Any]
    """Leaves out what the message does not have."""
    strict_from_dict: Callable[[object, ConfigMessage], ConfigMessage]
    to_dict: Callable[[object], dict[str, object]]


def proto() -> Proto:
    """The messages. Raises MissingPackageError."""
    require("tritonclient.grpc")
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2, service_pb2

    return Proto(
        ModelConfig=model_config_pb2.ModelConfig,
        ModelInstanceGroup=model_config_pb2.ModelInstanceGroup,
        DataType=model_config_pb2.DataType,
        ModelMetadata=service_pb2.ModelMetadataResponse,
        text=text_format.MessageToString,
        from_text=text_format.Parse,
        from_dict=partial(json_format.ParseDict, ignore_unknown_fields=True),
        strict_from_dict=json_format.ParseDict,
        to_dict=partial(json_format.MessageToDict, preserving_proto_field_name=True),
    )


@dataclass(frozen=True, slots=True)
class Description:
    """A model as its server describes it."""

    name: str
    versions: tuple[str, ...]
    signature: Signature
    """Dimension 0 is `batch` where the server batches; all other free ones are `NAME_AXIS`."""
    max_batch_size: int
    """0: the server does not batch, shapes are taken as they come."""
    optional: frozenset[str]
    """Inputs that may be left out."""
    config: str
    """The configuration as text, with what Triton filled in."""
    steps: tuple[str, ...] = ()
    """The models that an ensemble runs, in order; empty for a model that is none."""

    @property
    def latest(self) -> str:
        """The version that answers where none is asked for: the highest number."""
        return max(self.versions, key=lambda v: (v.isdecimal() and int(v), v), default="")


def read(metadata: Metadata, config: ConfigMessage) -> Description:
    """A description from the server's `ModelMetadataResponse` and `ModelConfig` messages.

    Raises ModelRefusedError for models whose requests aren't independent, or types numpy lacks.
    """
    _check_kind(config)
    batched = config.max_batch_size > 0
    inputs = tuple(_spec(t, batched) for t in metadata.inputs)
    outputs = tuple(_spec(t, batched) for t in metadata.outputs)
    return Description(
        name=metadata.name,
        versions=tuple(metadata.versions),
        signature=Signature(inputs, outputs),
        max_batch_size=config.max_batch_size,
        optional=frozenset(t.name for t in config.input if t.optional),
        config=proto().text(config),
        steps=steps(config),
    )


def steps(config: ConfigMessage) -> tuple[str, ...]:
    """Names of the models that an ensemble's `ModelConfig` runs, each once, in order."""
    return tuple(dict.fromkeys(step.model_name for step in config.ensemble_scheduling.step))


def composing(
    first: Sequence[str], listed: Sequence[str], steps_of: Callable[[str], Sequence[str]]
) -> tuple[str, ...]:
    """Every model that a model is made of, each once.

    `first` are an ensemble's own steps, followed by those of the ensembles among them; `listed`
    are models that a scenario names, which a server can't know (those that a model.py calls).
    """
    found: list[str] = []
    waiting = [*first, *listed]
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found.append(name)
            waiting += steps_of(name)
    return tuple(found)


def _check_kind(config: ConfigMessage) -> None:
    why = "is decoupled: it may answer a request many times"
    if not config.model_transaction_policy.decoupled:
        why = "is a sequence model: its requests are not independent of each other"
    if config.model_transaction_policy.decoupled or config.HasField("sequence_batching"):
        fix = "give a model that answers each request once, whatever came before"
        raise ModelRefusedError(f"'{config.name}' {why}", fix=fix)


def _spec(tensor: TensorMetadata, batched: bool) -> TensorSpec:
    shape = tuple(_dimensions(tensor.name, list(tensor.shape), batched))
    return TensorSpec(tensor.name, to_numpy(tensor.datatype, tensor.name), shape)


def _dimensions(name: str, shape: list[int], batched: bool) -> Iterator[int | str]:
    for axis, size in enumerate(shape):
        if axis == 0 and batched:
            yield BATCH
        else:
            yield int(size) if size >= 0 else f"{name}_{axis}"


# ------------------------------------------------------------------------------------------ fit


def check_inputs(found: Description, model: PreparedModel) -> None:
    """Raise ModelRefusedError with every way in which the model's inputs and outputs don't fit."""
    problems = [*_input_problems(found, model), *_output_problems(found, model)]
    if problems:
        raise ModelRefusedError(
            f"'{found.name}' on the server does not fit the scenario: {'; '.join(problems)}"
        )


def _input_problems(found: Description, model: PreparedModel) -> Iterator[str]:
    server = {t.name: t for t in found.signature.inputs}
    ours = {t.name: t for t in model.inputs}
    for name, tensor in ours.items():
        if name not in server:
            yield f"it has no input '{name}' (its inputs: {', '.join(server) or 'none'})"
        else:
            yield from _mismatch(f"input '{name}'", tensor, server[name], model.dynamic)
    for name in server:
        if name not in ours and name not in found.optional:
            yield f"it needs an input '{name}', which the scenario does not give"


def _output_problems(found: Description, model: PreparedModel) -> Iterator[str]:
    server = {t.name: t for t in found.signature.outputs}
    for tensor in model.outputs:
        if tensor.name not in server:
            yield f"it has no output '{tensor.name}' (its outputs: {', '.join(server) or 'none'})"


def contradictions(
    found: Description, answered: Sequence[TensorSpec], batch: int
) -> dict[str, str]:
    """Output → how the answer to a request of `batch` items is not what the server says of it.

    Triton passes on what a backend wrote: nobody holds a Python model to its config.pbtxt.
    """
    there, wrong = {spec.name: spec for spec in answered}, {}
    for said in found.signature.outputs:
        expected = tuple(batch if size == BATCH else size for size in said.shape)
        got = there.get(said.name)
        if got is None:
            wrong[said.name] = f"output '{said.name}' is not in the answer"
        elif got.dtype != said.dtype or not _as_said(got.shape, expected):
            wrong[said.name] = (
                f"output '{said.name}' is {_dtype(got)} {_shape(got.shape)} in the answer, "
                f"{_dtype(said)} {_shape(expected)} by the model's configuration"
            )
    return wrong


def _as_said(got: Sequence[int | str], said: Sequence[int | str]) -> bool:
    if is_short(got, said):  # the batch alone: some backends add the 1, and some do not
        said = said[:-1]
    return len(got) == len(said) and all(map(_fits, got, said))


def _mismatch(
    what: str, ours: TensorSpec, server: TensorSpec, dynamic: Mapping[str, int]
) -> Iterator[str]:
    if ours.dtype != server.dtype:
        yield f"{what} is {_dtype(server)} there, {_dtype(ours)} here"
    sizes = tuple(dynamic.get(d, d) if isinstance(d, str) else d for d in ours.shape)
    if is_short(ours.shape, server.shape):
        sizes = (*sizes, 1)
    same_rank = len(sizes) == len(server.shape)
    if not same_rank or not all(map(_fits, sizes, server.shape)):
        yield f"{what} has the shape {_shape(server.shape)} there, {_shape(sizes)} here"


def is_short(ours: Sequence[object], server: Sequence[object]) -> bool:
    """Whether what is a scalar here, or has the batch only, has a 1 more on the server."""
    return len(ours) < 2 and len(server) == len(ours) + 1 and server[-1] == 1


def _fits(ours: int | str, server: int | str) -> bool:
    """Whether our size can go where the server has `server`; our batch may be any number."""
    return isinstance(server, str) or isinstance(ours, str) or ours == server


def _dtype(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({TRITON[spec.dtype]})" if spec.dtype in TRITON else spec.dtype


def _shape(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
