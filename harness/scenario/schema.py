"""The scenario: what people write, as frozen, strict pydantic models.

`Scenario.model_validate` wants plain Python data; `harness.scenario.loader.load` reads a YAML file
and turns every mistake into a `Problem` with its position. Defaults are filled in here and nowhere
else, so `Scenario.model_dump(mode="json")` is the scenario *as resolved* and reads back as itself.
What must hold between keys stands in `harness.scenario.rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.scenario import profiles, rules
from harness.scenario.units import Duration, PositiveDuration, Size

BATCH = rules.BATCH
"""The name of the batch dimension in an input's shape."""
SOURCE_KINDS = rules.SOURCE_KINDS
PROFILES = profiles.PROFILES


def _sequence(value: Any) -> Any:
    """Let one value stand for a list of one, and a YAML list for a tuple."""
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, tuple) or value is None else (value,)


def _pair(value: Any) -> Any:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("expected two numbers, [low, high]")
    return tuple(value)


def _dimension(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        from harness.scenario.tree import describe as words  # reads YAML, which no worker can

        raise ValueError(  # noqa: TRY004 - pydantic collects ValueErrors only
            f"expected a size, or a word like {BATCH}, found {words(value)}"
        )
    if isinstance(value, int) and not 0 < value < 2**31:
        raise ValueError(f"a size must be from 1 to 2147483647; for the batch write `{BATCH}`")
    if isinstance(value, str) and not rules.WORD.fullmatch(value):
        raise ValueError(f"'{value}' is no size, and no word made of letters, digits and _")
    return value


PositiveInt = Annotated[int, Field(gt=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
ModuleCallable = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
File = Annotated[str, Field(min_length=1)]
Address = Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$")]
MetricsUrl = Annotated[
    str,
    Field(pattern=r"^(https?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}(/[^\s?#@]*)?$"),
]
DEVICE = re.compile(r"^(cpu|cuda(:[0-9]+)?|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+)$")
Device = Annotated[str, Field(pattern=DEVICE.pattern)]
DType = Literal[
    "float32", "float16", "float64", "bfloat16", "int64", "int32", "int16", "int8",
    "uint64", "uint32", "uint16", "uint8", "bool",
]  # fmt: skip
Precision = Literal["fp32", "tf32", "fp16", "bf16"]
Caller = Annotated[int, Field(gt=0, le=65_535)]  # samples keep the caller's number in 16 bits

Dimension = Annotated[
    int | str, BeforeValidator(_dimension, json_schema_input_type=PositiveInt | str)
]
Shape = Annotated[
    tuple[Dimension, ...],
    BeforeValidator(_sequence, json_schema_input_type=list[Dimension] | Dimension),
]
Pair = Annotated[tuple[float, float], BeforeValidator(_pair)]
Numbers = Annotated[
    tuple[float, ...], BeforeValidator(_sequence, json_schema_input_type=list[float] | float)
]
Paths = Annotated[
    tuple[File, ...],
    Field(min_length=1),
    BeforeValidator(
        _sequence, json_schema_input_type=Annotated[list[File], Field(min_length=1)] | File
    ),
]
Words = Annotated[
    tuple[str, ...], BeforeValidator(_sequence, json_schema_input_type=list[str] | str)
]
BatchSizes = Annotated[
    tuple[PositiveInt, ...],
    Field(min_length=1),
    BeforeValidator(
        _sequence,
        json_schema_input_type=Annotated[list[PositiveInt], Field(min_length=1)] | PositiveInt,
    ),
]
Callers = Annotated[
    tuple[Caller, ...],
    Field(min_length=1),
    BeforeValidator(
        _sequence, json_schema_input_type=Annotated[list[Caller], Field(min_length=1)] | Caller
    ),
]


def _only(value: Any) -> Any:
    """A list of one stands for its value: it varies nothing."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _shape_of(value: Any) -> str:
    """The tag of a value that may be one, a mapping of settings, or several of them."""
    if isinstance(value, list | tuple):
        return "several"
    return "settings" if isinstance(value, dict | BaseModel) else "one"


def _environment_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("put it in quotes: an environment variable is text")  # noqa: TRY004
    return str(value) if isinstance(value, int | float) else value


OneOrMore = Annotated[
    Annotated[PositiveInt, Tag("one")]
    | Annotated[
        tuple[PositiveInt, ...],
        Field(min_length=1),
        BeforeValidator(_sequence, json_schema_input_type=list[PositiveInt]),
        Tag("several"),
    ],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
    BeforeValidator(_only),
]
"""A number, or a list of numbers that are tried one after another."""
EnvironmentText = Annotated[
    str, BeforeValidator(_environment_value, json_schema_input_type=str | float)
]
EnvironmentValue = Annotated[
    Annotated[EnvironmentText, Tag("one")]
    | Annotated[
        tuple[EnvironmentText, ...],
        Field(min_length=1),
        BeforeValidator(_sequence, json_schema_input_type=list[EnvironmentText]),
        Tag("several"),
    ],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
    BeforeValidator(_only),
]

PositiveFloat = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]
Rates = Annotated[
    tuple[Rate, ...],
    Field(min_length=1),
    BeforeValidator(
        _sequence, json_schema_input_type=Annotated[list[Rate], Field(min_length=1)] | Rate
    ),
]


class Model(BaseModel):
    """Base of every part of the scenario: frozen, strict, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return ()

    @model_validator(mode="after")
    def _rules(self) -> Self:
        for broken in self._broken():
            where = ".".join(map(str, broken.loc))
            text = f"{where}: {broken.message}" if where else broken.message
            raise PydanticCustomError("rule", "{text}", {"text": text})
        return self


# ---------------------------------------------------------------------------------------- model


class FakeSource(Model):
    """A model that is not there: for `kind: fake` backends."""


class Source(Model):
    """Where the model comes from: exactly one of torch, onnx, exported_program, engine, triton
    and fake. Paths are relative to the scenario file.
    """

    torch: ModuleCallable | None = Field(
        None, description="`module:callable` that returns a torch.nn.Module"
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments of that callable (torch only)"
    )
    seed: Seed = Field(0, description="seed for the weights that the callable draws (torch only)")
    weights: File | None = Field(
        None, description="state-dict file to load into the module (torch only)"
    )
    onnx: File | None = Field(None, description="path of an ONNX file")
    exported_program: File | None = Field(None, description="path written by torch.export.save")
    engine: File | None = Field(None, description="path of a TensorRT engine")
    triton: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="name of a model that lives on a Triton server already"
    )
    fake: FakeSource | None = Field(None, description="`{}`: no model, for `fake` backends")

    @property
    def kind(self) -> str:
        """Which of the keys is set."""
        return next(key for key in SOURCE_KINDS if getattr(self, key) is not None)

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.source(self.model_dump())


class Files(Model):
    """Input data from files; each file is one or more samples without, or with, the batch axis."""

    files: Paths = Field(description=".npy, .npz or image files, relative to the scenario file")
    mean: Numbers | None = Field(None, description="per channel, for images")
    std: Numbers | None = Field(None, description="per channel, for images")

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.files(self.model_dump())


def _data_kind(value: Any) -> str:
    return "files" if isinstance(value, dict | Files) else "word"


class Input(Model):
    """One input tensor of the model."""

    name: Annotated[str, Field(min_length=1)] = Field(description="as the model calls it")
    dtype: DType = Field("float32", description="type of the elements")
    shape: Shape = Field(
        description="sizes; `batch` is the batch dimension, other words are dynamic dimensions"
    )
    data: Annotated[
        Annotated[Literal["random", "zeros"], Tag("word")] | Annotated[Files, Tag("files")],
        Discriminator(_data_kind),
    ] = Field("random", description="random (seeded), zeros, or `{files: [...]}`")
    range: Pair | None = Field(
        None, description="bounds of random data [low, high); integers default to [0, 2)"
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.input_(self.model_dump())


class Parity(Model):
    """Correctness before speed: how outputs are compared with the eager fp32 reference."""

    inputs: PositiveInt = Field(3, description="distinct inputs per batch size")
    max_abs_error: float | None = Field(None, gt=0, description="overrides the precision's")
    max_rel_error: float | None = Field(None, gt=0, description="overrides the precision's")
    on_mismatch: Literal["skip", "measure"] = Field(
        "skip", description="what to do with a backend that disagrees"
    )


class ModelSpec(Model):
    """What is measured."""

    name: Name = Field(description="the model's name in tables and on the server")
    source: Source = Field(description="where it comes from")
    inputs: Annotated[
        tuple[Input, ...],
        BeforeValidator(_sequence, json_schema_input_type=list[Input] | Input),
    ] = Field(default=(), description="may be left out for onnx, engine, triton and fake sources")
    dynamic: dict[str, PositiveInt] = Field(
        default_factory=dict, description="sizes of the dynamic dimensions other than batch"
    )
    parity: Parity = Field(
        default_factory=Parity, description="how outputs are compared before timing"
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.model_(self.model_dump())


# ---------------------------------------------------------------------------------- constraints


class Bound(Model):
    """A constraint on one metric: `min` for throughput, `max` for everything else."""

    max: float | None = Field(None, ge=0, description="at most this")
    min: float | None = Field(None, ge=0, description="at least this")


class Constraints(Model):
    """What a point must hold to count as a candidate."""

    latency_p50_ms: Bound | None = Field(None, description="median latency")
    latency_p90_ms: Bound | None = Field(None, description="90th percentile of latency")
    latency_p95_ms: Bound | None = Field(None, description="95th percentile of latency")
    latency_p99_ms: Bound | None = Field(None, description="99th percentile of latency")
    latency_p999_ms: Bound | None = Field(None, description="99.9th percentile of latency")
    throughput: Bound | None = Field(None, description="inferences a second")
    host_memory_mib: Bound | None = Field(None, description="peak of the process tree, 2^20 bytes")
    gpu_memory_mib: Bound | None = Field(None, description="peak of the process tree, 2^20 bytes")
    errors: Bound | None = Field(None, description="failed requests, over all rounds")

    def items(self) -> list[tuple[str, Bound]]:
        """(metric, bound) of the constraints that were written."""
        return [(k, v) for k, v in ((k, getattr(self, k)) for k in type(self).model_fields) if v]

    def _broken(self) -> Iterable[rules.Broken]:
        return [b for metric, v in self.items() for b in rules.bound(metric, v.model_dump())]


# ------------------------------------------------------------------------------------- backends


class BackendBase(Model):
    """What every backend has."""

    name: Name = Field("", validate_default=False, description="default: made from the settings")
    io: Literal["host", "device"] = Field(
        "host", description="what the clock includes: host = both copies, device = neither"
    )

    @property
    def default_name(self) -> str:
        """The name used when none is written."""
        return rules.default_name(self.model_dump(exclude={"name"})) or "backend"

    @property
    def label(self) -> str:
        """The settings in words, for tables and reports."""
        return self.name

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.backend(self.model_dump())


class TorchBackend(BackendBase):
    """Eager PyTorch in this process."""

    kind: Literal["torch"] = Field(description="which backend; the other keys depend on it")
    device: Device = Field("cpu", description="cpu, cuda, cuda:N, or a GPU's or MIG device's UUID")
    precision: Precision = Field("fp32", description="of weights and arithmetic; tf32 on cuda only")
    threads: PositiveInt | None = Field(None, description="intra-op threads; default: PyTorch's")
    compile: bool = Field(False, description="torch.compile, for every shape, instead of eager")


class OnnxRuntimeBackend(BackendBase):
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
            BeforeValidator(_sequence, json_schema_input_type=list[PositiveInt]),
        ],
    ] = Field(default_factory=dict, description="[min, opt, max] of other dynamic dimensions")


class TensorRtBackend(BackendBase):
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


Port = Annotated[int, Field(gt=0, lt=65536)]


class TlsSettings(Model):
    """Encrypted connections. `tls: {}` trusts the system's certificate authorities."""

    ca: File | None = Field(None, description="certificates to trust (PEM); default: the system's")
    cert: File | None = Field(None, description="the client's certificate (PEM)")
    key: File | None = Field(None, description="the client's key (PEM, without a passphrase)")
    verify: bool = Field(True, description="whether the server's certificate is checked")

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.tls(self.model_dump())


class DockerSettings(Model):
    """A container that the harness runs for each server and removes afterwards."""

    image: Annotated[str, Field(min_length=1)] = Field(
        description="with tritonserver in it, like nvcr.io/nvidia/tritonserver:24.10-py3"
    )
    gpus: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="as `docker run --gpus`; default: all with `device: cuda`, else none"
    )
    mounts: Words = Field((), description="more volumes, each HOST:CONTAINER or HOST:CONTAINER:ro")
    network: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="`host`, or a network's name; default: Docker's, ports on 127.0.0.1"
    )
    shm_size: Size | None = Field(
        1 << 30, description="of /dev/shm, which Triton's Python backend uses; default: 1GiB"
    )
    args: Words = Field((), description="more `docker run` options")
    command: Annotated[str, Field(min_length=1)] = Field(
        "docker", description="the program: docker, podman, or a path"
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.docker(self.model_dump())


class TelemetrySource(Model):
    """A `harness telemetry serve` that runs beside the server, on its host."""

    url: Address = Field(description="host:port")
    token: Annotated[str, Field(min_length=1)] = Field(
        description="`${NAME}`: the environment variable that holds the token"
    )
    tls: TlsSettings | None = Field(None, description="when it was given a certificate")

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.telemetry_source(self.model_dump())


class Server(Model):
    """A Triton that the harness starts (embedded, `binary` or `docker`), or one that already runs
    (`url`).
    """

    repository: File | None = Field(
        None, description="model repository that you already have, relative to the scenario file"
    )
    binary: File | None = Field(None, description="path of a tritonserver to run; default: ours")
    backend_directory: File | None = Field(
        None, description="of that tritonserver; default: `backends` beside its `bin`"
    )
    docker: DockerSettings | None = Field(None, description="run tritonserver in a container")
    native: bool | None = Field(
        None,
        description="serve with Triton's own ONNX Runtime backend instead of the Python backend; "
        "default: only with `docker`",
    )
    url: Address | None = Field(None, description="host:port of a server that already runs")
    tls: TlsSettings | None = Field(None, description="url: connect by HTTPS or gRPC over TLS")
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="url: sent with each request; `${NAME}` stands for an environment variable",
    )
    load: bool = Field(
        False, description="url: ask the server to load the model, and to unload it afterwards"
    )
    metrics_url: MetricsUrl | None = Field(
        None,
        description="url: where the server's Prometheus metrics are, like host:8002; left out, "
        "they are not read",
    )
    telemetry: TelemetrySource | None = Field(
        None, description="url: where memory and GPU readings of the server's host come from"
    )
    args: Words = Field((), description="more tritonserver arguments")
    http_port: Port | None = Field(None, description="default: a free one")
    grpc_port: Port | None = Field(None, description="default: a free one")
    metrics_port: Port | None = Field(None, description="default: a free one")
    start_timeout: PositiveDuration = Field(
        "60s", validate_default=True, description="how long the server may take to be ready"
    )

    @property
    def uses_native(self) -> bool:
        """Whether a model that the harness writes is for Triton's own ONNX Runtime backend."""
        return self.docker is not None if self.native is None else self.native

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.server(self.model_dump())


class Batching(Model):
    """Settings of Triton's dynamic batcher, which joins requests that wait into one batch."""

    preferred: BatchSizes | None = Field(
        None, description="batch sizes that it sends on at once; default: any, up to the largest"
    )
    queue_delay: Duration | None = Field(
        None, description="how long a request may wait for others to join it; default: not at all"
    )


BatchingChoice = Annotated[
    Annotated[bool, Tag("one")] | Annotated[Batching, Tag("settings")], Discriminator(_shape_of)
]
BatchingChoices = Annotated[
    Annotated[bool, Tag("one")]
    | Annotated[Batching, Tag("settings")]
    | Annotated[
        tuple[BatchingChoice, ...],
        Field(min_length=1),
        BeforeValidator(_sequence, json_schema_input_type=list[BatchingChoice]),
        Tag("several"),
    ],
    Discriminator(_shape_of),
    BeforeValidator(_only),
]
ModelConfigFields = dict[str, Any]
ModelConfigChoices = Annotated[
    Annotated[ModelConfigFields, Tag("settings")]
    | Annotated[
        tuple[ModelConfigFields, ...],
        Field(min_length=1),
        BeforeValidator(_sequence, json_schema_input_type=list[ModelConfigFields]),
        Tag("several"),
    ],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "settings"),
    BeforeValidator(_only),
]


class OtherModel(ModelSpec):
    """A model that is served beside the one that the scenario measures."""

    name: Name = Field("", validate_default=False, description="default: the name beside it")


class BesideLoad(Model):
    """What is asked of a model beside, from before the warm-up until after the window."""

    batch_size: PositiveInt = Field(1, description="items in one request")
    concurrency: Caller | None = Field(
        None, description="closed loop: callers that each wait for their answer"
    )
    request_rate: Rate | None = Field(None, description="open loop: requests a second")
    arrivals: Literal["constant", "poisson", "gamma"] = Field(
        "poisson", description="open loop: how arrivals are spaced"
    )
    cv: PositiveFloat = Field(1.0, description="gamma arrivals: coefficient of variation")
    max_outstanding: Caller = Field(256, description="open loop: requests that may be open at once")
    overload: Literal["wait", "shed"] = Field(
        "wait", description="open loop: what is due while all are open waits, or is shed"
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.beside_load(self.model_dump())


class BesideModel(Model):
    """Another model on the same server. What it is measured by is its part of each point."""

    name: Name = Field(description="its name in tables and on the server")
    model: OtherModel | None = Field(
        None,
        description="what it is; left out for a model of that name in your `repository`, or on a "
        "server that already runs",
    )
    serve: Literal["onnxruntime", "torch", "tensorrt"] | None = Field(
        None, description="default: as the backend's"
    )
    device: Device | None = Field(None, description="default: the backend's")
    precision: Precision = Field("fp32", description="of weights and arithmetic; tf32 on cuda only")
    threads: PositiveInt | None = Field(None, description="intra-op threads of an instance")
    instances: OneOrMore | None = Field(None, description="as the backend's; a list is searched")
    max_batch_size: OneOrMore | None = Field(
        None, description="a list is searched; default: the batch size of its load"
    )
    dynamic_batching: BatchingChoices | None = Field(
        None, description="as the backend's; a list is searched"
    )
    config: ModelConfigChoices = Field(
        default_factory=dict, description="as the backend's; a list is searched"
    )
    load: BesideLoad = Field(description="what is asked of it meanwhile")
    constraints: Constraints = Field(
        default_factory=lambda: Constraints.model_validate({}),
        description="what it must hold in a point, for the point to be a candidate",
    )
    weight: float = Field(
        0.0, ge=0,
        description="of its throughput in the objective, beside 1 for the measured model's; at 0 "
        "its constraints alone count",
    )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """The model; one that is on the server already is known by its name alone."""
        return self.model or OtherModel.model_validate(
            {"name": self.name, "source": {"triton": self.name}}
        )

    @field_validator("model")
    @classmethod
    def _named(cls, model: OtherModel | None, info: ValidationInfo) -> OtherModel | None:
        if model is None or model.name or "name" not in info.data:
            return model
        return model.model_copy(update={"name": info.data["name"]})

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.beside(self.model_dump())


class TritonBackend(BackendBase):
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
    beside: Annotated[
        tuple[BesideModel, ...],
        BeforeValidator(_sequence, json_schema_input_type=list[BesideModel] | BesideModel),
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


class FakeBackend(BackendBase):
    """A backend with a settable service time, to test the harness and to teach it."""

    kind: Literal["fake"] = Field(description="which backend; the other keys depend on it")
    service_time_ms: float = Field(1.0, ge=0, le=3_600_000, description="per request")
    per_item_ms: float = Field(
        0.0, ge=0, le=3_600_000, description="added for each item of the batch"
    )
    jitter: float = Field(0.0, ge=0, lt=1, description="relative, uniform in ±jitter")
    seed: Seed = Field(0, description="for the jitter")


AnyBackend = Annotated[
    TorchBackend | OnnxRuntimeBackend | TensorRtBackend | TritonBackend | FakeBackend,
    Field(discriminator="kind"),
]

# ------------------------------------------------------------------------------ load, measurement


class Step(Model):
    """A stretch of constant rate."""

    rate: Rate = Field(description="requests a second")
    duration: PositiveDuration = Field(description="for how long")


Steps = Annotated[
    tuple[Step, ...],
    Field(min_length=1),
    BeforeValidator(
        _sequence, json_schema_input_type=Annotated[list[Step], Field(min_length=1)] | Step
    ),
]


class Ramp(Model):
    """A rate that changes evenly."""

    begin: Annotated[float, Field(ge=0)] = Field(description="requests a second at the start")
    end: Rate = Field(description="requests a second at the end")
    duration: PositiveDuration = Field(description="from one to the other")


class FindCapacity(Model):
    """Search for the highest rate at which the share of requests within the target holds."""

    latency_p50_ms: PositiveFloat | None = Field(None, description="half within this")
    latency_p90_ms: PositiveFloat | None = Field(None, description="90 % within this")
    latency_p95_ms: PositiveFloat | None = Field(None, description="95 % within this")
    latency_p99_ms: PositiveFloat | None = Field(None, description="99 % within this")
    precision: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="relative step of the rates that are tried"
    )
    max_rate: Rate | None = Field(None, description="never ask for more than this")

    @property
    def target(self) -> tuple[str, float]:
        """Percentile and milliseconds."""
        return next((p, v) for p in ("p50", "p90", "p95", "p99")
                    if (v := getattr(self, f"latency_{p}_ms")) is not None)  # fmt: skip

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.find_capacity(self.model_dump())


OPEN_LOOP = ("request_rate", "steps", "ramp", "trace", "find_capacity")


class Load(Model):
    """What is asked of each backend: closed loop (concurrency), open loop (rates), or both."""

    batch_sizes: BatchSizes = Field((1,), description="items in one request")
    concurrency: Callers | None = Field(
        None, description="closed loop: callers that each wait for their answer; default [1]"
    )
    request_rate: Rates | None = Field(
        None, description="open loop: requests a second, sent on schedule whatever comes back"
    )
    steps: Steps | None = Field(None, description="open loop: constant rates, one after another")
    ramp: Ramp | None = Field(None, description="open loop: a rate that changes evenly")
    trace: File | None = Field(
        None, description="open loop: a file of arrival times, one a line, in seconds"
    )
    find_capacity: FindCapacity | None = Field(
        None, description="open loop: search for the highest rate that holds a latency target"
    )
    arrivals: Literal["constant", "poisson", "gamma"] = Field(
        "poisson", description="how arrivals are spaced at a given rate"
    )
    cv: PositiveFloat = Field(
        1.0, description="gamma arrivals: coefficient of variation of the gaps; above 1 is bursty"
    )
    max_outstanding: Caller = Field(256, description="open loop: requests that may be open at once")
    overload: Literal["wait", "shed"] = Field(
        "wait",
        description="open loop: what is due while all are open waits, or is shed and counted",
    )

    @model_validator(mode="before")
    @classmethod
    def _closed_by_default(cls, data: Any) -> Any:
        if isinstance(data, dict) and not any(
            data.get(key) is not None for key in ("concurrency", *OPEN_LOOP)
        ):
            return {**data, "concurrency": [1]}
        return data

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.load_(self.model_dump())


def _profile_fills(schema: dict[str, Any]) -> None:
    """For editors nothing is required: the profile sets what is not written."""
    schema.pop("required", None)


class Targets(Model):
    """Half-widths of the 95 % intervals that are narrow enough; 0.01 is ±1 %."""

    throughput: PositiveFloat = Field(0.01, description="of throughput")
    latency_p50: PositiveFloat = Field(0.01, description="of the median")
    latency_p99: PositiveFloat = Field(0.05, description="of p99, where there is one")


class Measurement(Model):
    """How each point is measured; the profile sets what is not written."""

    model_config = ConfigDict(json_schema_extra=_profile_fills)

    profile: Literal["quick", "standard", "publish"] = Field(
        "standard", description="a set of the numbers below"
    )
    rounds: Annotated[int, Field(gt=0, le=1000)] = Field(
        description="passes over all points, in fresh processes"
    )
    rounds_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        description="rounds are added up to this many where intervals are too wide"
    )
    budget: PositiveDuration | None = Field(
        None, description="no round is added after this long; default: no limit"
    )
    targets: Targets = Field(
        default_factory=Targets,
        description="half-widths of the intervals that are narrow enough",
    )
    warmup: Duration = Field(description="at least this long before the window, at every point")
    warmup_requests: PositiveInt = Field(description="and at least this many requests")
    window: PositiveDuration = Field(description="measured at least this long")
    window_requests: PositiveInt = Field(description="and until this many requests have finished")
    window_max: PositiveDuration = Field(description="but no longer than this")
    request_timeout: PositiveDuration = Field(
        "30s", validate_default=True, description="a request that takes longer has failed"
    )
    load_timeout: PositiveDuration = Field(
        "180s", validate_default=True, description="how long a backend may take to load"
    )
    distinct_inputs: Annotated[int, Field(gt=0, le=10_000)] = Field(
        8, description="inputs that the requests cycle through"
    )
    seed: Seed = Field(0, description="for order of points and arrivals; inputs have their own")

    @model_validator(mode="before")
    @classmethod
    def _profile(cls, data: Any) -> Any:
        return profiles.fill(data) if isinstance(data, dict) else data

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.measurement(self.model_dump())


ObjectiveMetric = Literal[
    "throughput", "latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms",
    "host_memory_mib", "gpu_memory_mib",
]  # fmt: skip


class Weights(Model):
    """Several metrics in one: their weighted geometric mean. A weight of 2 beside one of 1 says
    that 1 % of the first is worth 2 % of the second.
    """

    throughput: PositiveFloat | None = Field(None, description="weight; more is better")
    latency_p50_ms: PositiveFloat | None = Field(None, description="weight; less is better")
    latency_p90_ms: PositiveFloat | None = Field(None, description="weight; less is better")
    latency_p95_ms: PositiveFloat | None = Field(None, description="weight; less is better")
    latency_p99_ms: PositiveFloat | None = Field(None, description="weight; less is better")
    host_memory_mib: PositiveFloat | None = Field(None, description="weight; less is better")
    gpu_memory_mib: PositiveFloat | None = Field(None, description="weight; less is better")

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.weights(self.model_dump())


Objective = Annotated[
    Annotated[ObjectiveMetric, Tag("one")]
    | Annotated[Weights, Tag("settings")]
    | Annotated[
        tuple[ObjectiveMetric, ...],
        Field(min_length=1),
        BeforeValidator(_sequence, json_schema_input_type=list[ObjectiveMetric]),
        Tag("several"),
    ],
    Discriminator(_shape_of),
    BeforeValidator(_only),
]


class Search(Model):
    """How the configs of a Triton backend that holds lists are chosen. See docs/search.md."""

    method: Literal["grid", "halving", "quick", "bayesian"] = Field(
        "grid",
        description="grid measures all; halving drops what is clearly worse; quick climbs from "
        "neighbour to neighbour; bayesian lets Optuna propose",
    )
    budget: PositiveDuration | None = Field(
        None, description="the whole run ends after about this long; as measurement.budget"
    )
    trials: PositiveInt | None = Field(
        None, description="bayesian: configs of a backend that are tried; default 20"
    )
    top: PositiveInt | None = Field(
        None,
        description="quick and bayesian: best configs that are measured in further rounds, "
        "beside the default one; default 3",
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.search(self.model_dump())


def _search(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


def _allow_x_keys(schema: dict[str, Any]) -> None:
    schema["patternProperties"] = {"^x-": {"description": "ignored: a place for YAML anchors"}}


class Scenario(Model):
    """One scenario file. Top-level keys that begin with `x-` are ignored: a place for anchors."""

    model_config = ConfigDict(json_schema_extra=_allow_x_keys)

    scenario: Name = Field(description="the scenario's name")
    description: str = Field("", description="a sentence for the report")
    model: ModelSpec = Field(description="what is measured")
    backends: Annotated[
        tuple[AnyBackend, ...],
        Field(min_length=1),
        BeforeValidator(
            _sequence,
            json_schema_input_type=Annotated[list[AnyBackend], Field(min_length=1)] | AnyBackend,
        ),
    ] = Field(description="the ways to run it that are compared")
    load: Load = Field(default_factory=Load, description="what is asked of each backend")
    measurement: Measurement = Field(
        default_factory=lambda: Measurement.model_validate({}),
        description="how each point is measured",
    )
    constraints: Constraints = Field(
        default_factory=Constraints, description="what a point must hold to be a candidate"
    )
    objective: Objective = Field(
        "throughput",
        description="what the best point is best at, under the constraints: one metric, "
        "`{metric: weight, …}`, or a list of metrics for their Pareto front",
    )
    search: Annotated[
        Search,
        BeforeValidator(
            _search,
            json_schema_input_type=Search | Literal["grid", "halving", "quick", "bayesian"],
        ),
    ] = Field(
        default_factory=lambda: Search.model_validate({}),
        description="how the configs of Triton backends that hold lists are chosen: a method, or "
        "a mapping",
    )

    @property
    def budget(self) -> float | None:
        """Seconds after which nothing more is begun; None without a limit."""
        return self.search.budget or self.measurement.budget

    @model_validator(mode="before")
    @classmethod
    def _drop_x(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if not str(k).startswith("x-")}
        return data

    @field_validator("backends")
    @classmethod
    def _names(cls, backends: tuple[AnyBackend, ...]) -> tuple[AnyBackend, ...]:
        return tuple(
            b if b.name else b.model_copy(update={"name": b.default_name}) for b in backends
        )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.scenario(self.model_dump())
