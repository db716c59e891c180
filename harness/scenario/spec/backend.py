"""The `backends` of a scenario."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from harness.scenario.rules import backend as backend_rules
from harness.scenario.rules import base as rule_base
from harness.scenario.spec.colocated import (
    Batching,
    BatchingChoices,
    ColocatedModel,
    ModelConfigChoices,
)
from harness.scenario.spec.fields import (
    Device,
    EnvironmentValue,
    Model,
    Name,
    OneOrMore,
    PositiveInt,
    Precision,
    Seed,
    Words,
    as_tuple,
)
from harness.scenario.spec.server import Server
from harness.scenario.units import Size


class BackendSettings(Model):
    """What every backend has."""

    name: Name = Field("", validate_default=False, description="default: made from the settings")
    io: Literal["host", "device"] = Field(
        "host", description="what the clock includes: host = both copies, device = neither"
    )

    @property
    def default_name(self) -> str:
        """The name used when none is written."""
        return backend_rules.default_name(self.model_dump(exclude={"name"})) or "backend"

    @property
    def label(self) -> str:
        """The settings in words, for tables and reports."""
        return self.name

    def _broken(self) -> Iterable[rule_base.Broken]:
        return backend_rules.backend(self.model_dump())


class TorchSettings(BackendSettings):
    """Eager PyTorch in this process."""

    kind: Literal["torch"] = Field(description="which backend; the other keys depend on it")
    device: Device = Field("cpu", description="cpu, cuda, cuda:N, or a GPU's or MIG device's UUID")
    precision: Precision = Field("fp32", description="of weights and arithmetic; tf32 on cuda only")
    threads: PositiveInt | None = Field(None, description="intra-op threads; default: PyTorch's")
    compile: bool = Field(False, description="torch.compile, for every shape, instead of eager")


class OnnxRuntimeSettings(BackendSettings):
    """ONNX Runtime in this process."""

    kind: Literal["onnxruntime"] = Field(description="which backend; the other keys depend on it")
    provider: Literal[
        "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
    ] = Field(
        "CPUExecutionProvider", description="the execution provider; a silent fallback is an error"
    )
    device: Device | None = Field(None, description="which GPU, for a GPU's provider")
    precision: Literal["fp32", "tf32", "fp16"] = Field(
        "fp32", description="of weights and arithmetic; tf32 on a GPU only"
    )
    threads: PositiveInt | None = Field(None, description="intra-op threads; default: ORT's")
    gpu_memory_limit: Size | None = Field(
        None, description="most that the CUDA arena may take; default: no limit"
    )
    arena_extend_strategy: Literal["kNextPowerOfTwo", "kSameAsRequested"] | None = Field(
        None, description="how the CUDA arena grows; default: ORT's, kNextPowerOfTwo"
    )
    cudnn_conv_algo_search: Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"] | None = Field(
        None, description="how cuDNN's algorithms are chosen; default: ORT's, EXHAUSTIVE"
    )
    cuda_graphs: bool = Field(
        False, description="capture a graph per shape and replay it; needs `io: device`"
    )


class TensorRtProfile(Model):
    """Sizes that the engine must run; it is fastest at `opt`."""

    each: bool = Field(False, description="one profile for every batch size, best at that size")
    min: PositiveInt | None = Field(None, description="batch size; default: the smallest")
    opt: PositiveInt | None = Field(None, description="batch size; default: the largest")
    max: PositiveInt | None = Field(None, description="batch size; default: the largest")
    dynamic: dict[
        str,
        Annotated[
            tuple[PositiveInt, PositiveInt, PositiveInt],
            BeforeValidator(as_tuple, json_schema_input_type=list[PositiveInt]),
        ],
    ] = Field(default_factory=dict, description="[min, opt, max] of other dynamic dimensions")


class TensorRtSettings(BackendSettings):
    """TensorRT in this process: an engine that is built from ONNX, or one that you have."""

    kind: Literal["tensorrt"] = Field(description="which backend; the other keys depend on it")
    flavor: Literal["auto", "tensorrt", "tensorrt-rtx"] = Field(
        "auto", description="which TensorRT; auto takes the first that is installed"
    )
    device: Device = Field("cuda", description="cuda, cuda:N, or a GPU's or MIG device's UUID")
    precision: Precision = Field("fp32", description="of the engine; checked in what was built")
    workspace: Size | None = Field(
        None, description="scratch memory a layer may use; default: TensorRT's, all there is"
    )
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="0 builds fastest, 5 searches longest; default: TensorRT's, 3"
    )
    profile: TensorRtProfile = Field(
        default_factory=TensorRtProfile, description="sizes that the engine must run"
    )
    cuda_graphs: bool = Field(False, description="capture the computation and replay it")
    version_compatible: bool = Field(
        False, description="an engine that newer versions of TensorRT can load"
    )
    hardware_compatible: bool = Field(False, description="an engine for Ampere and newer GPUs")
    compute_capability: Annotated[str, Field(pattern=r"^(current|[0-9]+\.[0-9])$")] | None = Field(
        None, description="TensorRT-RTX: GPU to build for; default: its portable engine"
    )


class TritonSettings(BackendSettings):
    """A real Triton server, called over HTTP or gRPC."""

    kind: Literal["triton"] = Field(description="which backend; the other keys depend on it")
    protocol: Literal["http", "grpc"] = Field(description="how requests travel")
    io: Literal["host", "shared_memory", "cuda_shared_memory"] = Field(  # type: ignore[assignment]
        "host",
        description="how tensors travel: in the messages, or in memory that a server on this "
        "machine shares with the client (the host's or the GPU's)",
    )
    client: Literal["wire", "tritonclient"] = Field(
        "wire",
        description="who sends: the harness's own fast client, or the official library, "
        "to see what an application written on it would see",
    )
    client_processes: Annotated[int, Field(gt=0, le=64)] = Field(
        1, description="wire client: processes to spread the load over when one core is not enough"
    )
    serve: Literal["onnxruntime", "torch", "tensorrt"] | None = Field(
        None, description="what the server runs; left out for a model that is already there"
    )
    device: Device = Field("cpu", description="where the server runs it")
    precision: Precision = Field("fp32", description="of weights and arithmetic; tf32 on cuda only")
    threads: PositiveInt | None = Field(None, description="intra-op threads of an instance")
    instances: OneOrMore | None = Field(
        None,
        description="copies of the model that run side by side; a list is searched. Default: 1, "
        "or what the config.pbtxt of a model in your `repository` says",
    )
    max_batch_size: OneOrMore | None = Field(
        None,
        description="a list is searched. Default: the largest batch, or what the config.pbtxt of "
        "a model in your `repository` says",
    )
    dynamic_batching: BatchingChoices | None = Field(
        None,
        description="whether the server joins requests that wait into one batch; a list is "
        "searched. Default: false, or what the config.pbtxt of a model in your `repository` says",
    )
    config: ModelConfigChoices = Field(
        default_factory=dict,
        description="any field of config.pbtxt, as protobuf writes it in JSON; a list is searched",
    )
    env: dict[str, EnvironmentValue] = Field(
        default_factory=dict,
        description="environment variables of the server; a list of values is searched",
    )
    colocated: Annotated[
        tuple[ColocatedModel, ...],
        BeforeValidator(as_tuple, json_schema_input_type=list[ColocatedModel] | ColocatedModel),
    ] = Field(
        (),
        description="other models that the same server runs at the same time, each under a load "
        "of its own; their lists are searched jointly",
    )
    composing: Words = Field(
        (),
        description="models that the model calls itself (BLS), whose statistics are read too; "
        "those of an ensemble are found without being named",
    )
    flavor: Literal["auto", "tensorrt", "tensorrt-rtx"] = Field(
        "auto", description="`serve: tensorrt`: which one; auto takes the first that is installed"
    )
    workspace: Size | None = Field(
        None, description="`serve: tensorrt`: scratch memory a layer may use; default: all there is"
    )
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="`serve: tensorrt`: from 0, fastest build, to 5; default: TensorRT's, 3"
    )
    cuda_graphs: bool = Field(
        False, description="`serve: tensorrt`: capture the computation and replay it"
    )
    server: Server = Field(
        default_factory=lambda: Server.model_validate({}),
        description="default: a server that the harness starts",
    )

    @property
    def instance_count(self) -> int:
        """Copies of a model that the harness serves. Raises ValueError where a list stands."""
        return _single(self.instances) or 1

    @property
    def max_batch(self) -> int | None:
        """The largest batch the server takes, where it is written. Raises ValueError for a list."""
        return _single(self.max_batch_size)

    @property
    def batching(self) -> Batching | None:
        """The dynamic batcher's settings; None where it is off or not mentioned.

        Raises ValueError where a list stands.
        """
        found = self.dynamic_batching
        if isinstance(found, tuple):
            raise ValueError(_LISTS)  # noqa: TRY004 - as the other properties
        return (Batching() if found else None) if isinstance(found, bool) else found

    @property
    def config_fields(self) -> dict[str, Any]:
        """Fields of config.pbtxt that are set by hand. Raises ValueError where a list stands."""
        if isinstance(self.config, tuple):
            raise ValueError(_LISTS)  # noqa: TRY004 - as the other properties
        return self.config

    @property
    def environment(self) -> dict[str, str]:
        """The server's additional environment. Raises ValueError where a list stands."""
        if any(isinstance(v, tuple) for v in self.env.values()):
            raise ValueError(_LISTS)
        return {k: str(v) for k, v in self.env.items()}

    @property
    def changes_model(self) -> bool:
        """Whether a model that is in a repository already is to be served differently."""
        written = (self.instances, self.max_batch_size, self.dynamic_batching)
        return bool(self.config) or any(v is not None for v in written)


_LISTS = "this backend stands for several configs; see harness.scenario.variants"


def _single(value: int | tuple[int, ...] | None) -> int | None:
    if isinstance(value, tuple):
        raise ValueError(_LISTS)  # noqa: TRY004 - the type is right, the moment is wrong
    return value


class FakeSettings(BackendSettings):
    """A backend with a settable service time, to test the harness and to teach it."""

    kind: Literal["fake"] = Field(description="which backend; the other keys depend on it")
    service_time_ms: float = Field(1.0, ge=0, le=3_600_000, description="per request")
    per_item_ms: float = Field(
        0.0, ge=0, le=3_600_000, description="added for each item of the batch"
    )
    jitter: float = Field(0.0, ge=0, lt=1, description="relative, uniform in ±jitter")
    seed: Seed = Field(0, description="for the jitter")


AnyBackend = Annotated[
    TorchSettings | OnnxRuntimeSettings | TensorRtSettings | TritonSettings | FakeSettings,
    Field(discriminator="kind"),
]
