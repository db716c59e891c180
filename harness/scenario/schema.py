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


class EmbeddedServer(Model):
    """A Triton started by the harness, or one that already runs (`url`)."""

    repository: File | None = Field(
        None, description="model repository that you already have, relative to the scenario file"
    )
    url: Address | None = Field(None, description="host:port of a server that already runs")
    args: Words = Field((), description="more tritonserver arguments")
    http_port: Port | None = Field(None, description="default: a free one")
    grpc_port: Port | None = Field(None, description="default: a free one")
    metrics_port: Port | None = Field(None, description="default: a free one")
    start_timeout: PositiveDuration = Field(
        "60s", validate_default=True, description="how long the server may take to be ready"
    )

    def _broken(self) -> Iterable[rules.Broken]:
        return rules.server(self.model_dump())


class TritonBackend(BackendBase):
    """A real Triton server, called over HTTP or gRPC."""

    kind: Literal["triton"] = Field(description="which backend; the other keys depend on it")
    protocol: Literal["http", "grpc"] = Field(description="how requests travel")
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
    instances: PositiveInt = Field(1, description="copies of the model that run side by side")
    max_batch_size: PositiveInt | None = Field(None, description="default: the largest batch")
    dynamic_batching: bool = Field(
        False, description="whether the server joins requests that wait into one batch"
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
    server: EmbeddedServer = Field(
        default_factory=lambda: EmbeddedServer.model_validate({}),
        description="default: a server that the harness starts",
    )


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


Objective = Literal["throughput", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms"]


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
        "throughput", description="what the best point is best at, under the constraints"
    )

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
