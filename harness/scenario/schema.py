"""The scenario: what people write, as frozen, strict pydantic models.

`Scenario.model_validate` wants plain Python data; `harness.scenario.loader.load` reads a YAML file
and turns every mistake into a `Problem` with its position. Defaults are filled in here and nowhere
else, so `Scenario.model_dump(mode="json")` is the scenario *as resolved* and reads back as itself.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.scenario.units import Duration

PositiveInt = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
ModuleCallable = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
DType = Literal[
    "float32", "float16", "float64", "bfloat16", "int64", "int32", "int16", "int8",
    "uint64", "uint32", "uint16", "uint8", "bool",
]  # fmt: skip
Precision = Literal["fp32", "tf32", "fp16", "bf16"]
BATCH = "batch"
"""The name of the batch dimension in an input's shape."""


class Model(BaseModel):
    """Base of every part of the scenario: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


def _sequence(value: Any) -> Any:
    """Let one value stand for a list of one, and a YAML list for a tuple."""
    if isinstance(value, list):
        return tuple(value)
    return value if isinstance(value, tuple) or value is None else (value,)


# ---------------------------------------------------------------------------------------- model


class FakeSource(Model):
    """A model that is not there: for `kind: fake` backends."""


class Source(Model):
    """Where the model comes from: exactly one of the keys below (`kind` says which)."""

    torch: ModuleCallable | None = Field(
        None, description="`module:callable` that returns a torch.nn.Module"
    )
    kwargs: dict[str, Any] = Field(default_factory=dict, description="arguments of that callable")
    seed: int = Field(0, description="seed for the weights that the callable draws")
    weights: str | None = Field(None, description="state-dict file to load into the module")
    onnx: str | None = Field(None, description="path of an ONNX file")
    exported_program: str | None = Field(None, description="path written by torch.export.save")
    engine: str | None = Field(None, description="path of a TensorRT engine")
    triton: str | None = Field(None, description="name of a model that lives on a Triton server")
    fake: FakeSource | None = Field(None, description="`{}`: no model, for `fake` backends")

    @property
    def kind(self) -> str:
        """Which of the keys is set."""
        return next(key for key in SOURCE_KINDS if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [key for key in SOURCE_KINDS if getattr(self, key) is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given)}" if given else "found none"
            raise ValueError(f"needs exactly one of {', '.join(SOURCE_KINDS)}; {found}")
        if self.torch is None and (self.kwargs or self.weights or self.seed):
            raise ValueError("kwargs, seed and weights go with a torch source only")
        return self


SOURCE_KINDS = ("torch", "onnx", "exported_program", "engine", "triton", "fake")


class Files(Model):
    """Input data from files; each file is one or more samples without, or with, the batch axis."""

    files: tuple[str, ...] = Field(min_length=1)
    mean: tuple[float, ...] | None = Field(None, description="per channel, for images")
    std: tuple[float, ...] | None = Field(None, description="per channel, for images")

    _files = field_validator("files", "mean", "std", mode="before")(_sequence)


class Input(Model):
    """One input tensor of the model."""

    name: str = Field(min_length=1)
    dtype: DType = "float32"
    shape: tuple[PositiveInt | str, ...] = Field(
        description="sizes; `batch` is the batch dimension, other words are dynamic dimensions"
    )
    data: Literal["random", "zeros"] | Files = Field(
        "random", description="random (seeded), zeros, or `{files: [...]}` (.npy, .npz, images)"
    )
    range: tuple[float, float] | None = Field(
        None, description="bounds of random data [low, high); integers default to [0, 2)"
    )

    _shape = field_validator("shape", "range", mode="before")(_sequence)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.shape.count(BATCH) != 1:
            shown = "[" + ", ".join(map(str, self.shape)) + "]"
            count = "no" if BATCH not in self.shape else "more than one"
            raise ValueError(
                f"shape {shown} has {count} batch dimension; write one, like [batch, 3, 224, 224]"
            )
        if self.range is not None and not self.range[0] < self.range[1]:
            raise ValueError("range needs low < high")
        return self


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

    name: Name
    source: Source
    inputs: tuple[Input, ...] = Field(
        default=(), description="may be left out for onnx, engine and triton sources"
    )
    dynamic: dict[str, PositiveInt] = Field(
        default_factory=dict, description="sizes of the dynamic dimensions other than batch"
    )
    parity: Parity = Field(default_factory=lambda: Parity())

    _inputs = field_validator("inputs", mode="before")(_sequence)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [i.name for i in self.inputs]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two inputs have the name '{twice[0]}'")
        words = {d for i in self.inputs for d in i.shape if isinstance(d, str) and d != BATCH}
        missing = sorted(words - set(self.dynamic))
        if missing:
            raise ValueError(
                f"dynamic dimension '{missing[0]}' has no size; add `dynamic: {{{missing[0]}: N}}`"
            )
        unused = sorted(set(self.dynamic) - words)
        if unused and self.inputs:
            raise ValueError(f"dynamic dimension '{unused[0]}' is in no input's shape")
        if not self.inputs and self.source.kind in ("torch", "exported_program"):
            raise ValueError(f"a {self.source.kind} source needs `inputs`")
        return self


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
        raise NotImplementedError

    @property
    def label(self) -> str:
        """The settings in words, for tables and reports."""
        return self.name


DEVICE = re.compile(r"^(cpu|cuda(:[0-9]+)?|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+)$")
Device = Annotated[str, Field(pattern=DEVICE.pattern)]


class TorchBackend(BackendBase):
    """Eager PyTorch in this process."""

    kind: Literal["torch"]
    device: Device = "cpu"
    precision: Precision = "fp32"
    threads: PositiveInt | None = Field(None, description="intra-op threads; default: PyTorch's")

    @property
    def default_name(self) -> str:
        return f"torch-{self.device.replace(':', '')}-{self.precision}"


class OnnxRuntimeBackend(BackendBase):
    """ONNX Runtime in this process."""

    kind: Literal["onnxruntime"]
    provider: Literal["CPUExecutionProvider", "CUDAExecutionProvider"] = "CPUExecutionProvider"
    device: Device | None = Field(None, description="which GPU, for the CUDA provider")
    precision: Literal["fp32", "tf32", "fp16"] = "fp32"
    threads: PositiveInt | None = Field(None, description="intra-op threads; default: ORT's")

    @property
    def default_name(self) -> str:
        return f"onnxruntime-{self.provider.removesuffix('ExecutionProvider').lower()}-{self.precision}"


class EmbeddedServer(Model):
    """A Triton started by the harness, or one that already runs (`url`)."""

    repository: str | None = Field(None, description="model repository that you already have")
    url: str | None = Field(None, description="host:port of a server that already runs")
    args: tuple[str, ...] = Field((), description="more tritonserver arguments")
    start_timeout: Duration = Field("60s", validate_default=True)

    _args = field_validator("args", mode="before")(_sequence)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.repository is not None and self.url is not None:
            raise ValueError("give repository or url, not both")
        if self.url is not None and self.args:
            raise ValueError("args go with a server the harness starts, not with a url")
        return self


class TritonBackend(BackendBase):
    """A real Triton server, called over HTTP or gRPC."""

    kind: Literal["triton"]
    protocol: Literal["http", "grpc"]
    serve: Literal["onnxruntime", "torch"] | None = Field(
        None, description="what the server runs; left out for a model that is already there"
    )
    device: Device = "cpu"
    precision: Precision = "fp32"
    threads: PositiveInt | None = Field(None, description="intra-op threads of an instance")
    instances: PositiveInt = 1
    max_batch_size: PositiveInt | None = Field(None, description="default: the largest batch")
    dynamic_batching: bool = False
    server: EmbeddedServer = Field(default_factory=lambda: EmbeddedServer(start_timeout="60s"))

    @property
    def default_name(self) -> str:
        serve = f"-{self.serve}" if self.serve else ""
        return f"triton-{self.protocol}{serve}"


class FakeBackend(BackendBase):
    """A backend with a settable service time, to test the harness and to teach it."""

    kind: Literal["fake"]
    service_time_ms: float = Field(1.0, ge=0, description="per request")
    per_item_ms: float = Field(0.0, ge=0, description="added for each item of the batch")
    jitter: float = Field(0.0, ge=0, lt=1, description="relative, uniform in ±jitter")
    seed: int = 0

    @property
    def default_name(self) -> str:
        return "fake"


AnyBackend = Annotated[
    TorchBackend | OnnxRuntimeBackend | TritonBackend | FakeBackend, Field(discriminator="kind")
]

# ------------------------------------------------------------------------------ load, measurement


class Load(Model):
    """What is asked of each backend."""

    batch_sizes: tuple[PositiveInt, ...] = Field((1,), min_length=1)
    concurrency: tuple[PositiveInt, ...] = Field(
        (1,), min_length=1, description="closed loop: callers that each wait for their answer"
    )

    _lists = field_validator("batch_sizes", "concurrency", mode="before")(_sequence)

    @field_validator("batch_sizes", "concurrency")
    @classmethod
    def _distinct(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        twice = sorted({v for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is there twice")
        return values


PROFILES: dict[str, dict[str, Any]] = {
    "quick": {"rounds": 3, "warmup": "500ms", "warmup_requests": 5, "window": "2s",
              "window_requests": 11, "window_max": "10s"},
    "standard": {"rounds": 5, "warmup": "2s", "warmup_requests": 20, "window": "10s",
                 "window_requests": 662, "window_max": "60s"},
    "publish": {"rounds": 10, "warmup": "5s", "warmup_requests": 50, "window": "30s",
                "window_requests": 6636, "window_max": "300s"},
}  # fmt: skip
"""What a profile stands for. Request counts are the floors of p50, p99 and p99.9 (MEASUREMENT 7)."""


class Measurement(Model):
    """How each point is measured; the profile sets what is not written."""

    profile: Literal["quick", "standard", "publish"] = "standard"
    rounds: PositiveInt = Field(description="passes over all points, in fresh processes")
    warmup: Duration = Field(description="at least this long before the window, at every point")
    warmup_requests: PositiveInt = Field(description="and at least this many requests")
    window: Duration = Field(description="measured at least this long")
    window_requests: PositiveInt = Field(description="and until this many requests have finished")
    window_max: Duration = Field(description="but no longer than this")
    request_timeout: Duration = Field("30s", validate_default=True)
    load_timeout: Duration = Field("180s", validate_default=True)
    distinct_inputs: PositiveInt = Field(8, description="inputs that the requests cycle through")
    seed: int = Field(0, description="for order of points and arrivals; inputs have their own")

    @model_validator(mode="before")
    @classmethod
    def _profile(cls, data: Any) -> Any:
        if isinstance(data, dict):
            profile = data.get("profile", "standard")
            if isinstance(profile, str) and profile in PROFILES:
                return {**PROFILES[profile], **data}
            return {**PROFILES["standard"], **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.window_max < self.window:
            raise ValueError("window_max is shorter than window")
        return self


class Bound(Model):
    """A constraint on one metric."""

    max: float | None = None
    min: float | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if (self.max is None) == (self.min is None):
            raise ValueError("give max or min")
        return self


class Constraints(Model):
    """What a point must hold to count as a candidate."""

    latency_p50_ms: Bound | None = None
    latency_p90_ms: Bound | None = None
    latency_p95_ms: Bound | None = None
    latency_p99_ms: Bound | None = None
    latency_p999_ms: Bound | None = None
    throughput: Bound | None = None
    host_memory_mib: Bound | None = None
    gpu_memory_mib: Bound | None = None
    errors: Bound | None = None

    def items(self) -> list[tuple[str, Bound]]:
        """(metric, bound) of the constraints that were written."""
        return [(k, v) for k, v in ((k, getattr(self, k)) for k in type(self).model_fields) if v]


Objective = Literal["throughput", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms"]


class Scenario(Model):
    """One scenario file."""

    scenario: Name
    description: str = ""
    model: ModelSpec
    backends: tuple[AnyBackend, ...] = Field(min_length=1)
    load: Load = Field(default_factory=Load)
    measurement: Measurement = Field(default_factory=lambda: Measurement.model_validate({}))
    constraints: Constraints = Field(default_factory=Constraints)
    objective: Objective = "throughput"

    _backends = field_validator("backends", mode="before")(_sequence)

    @field_validator("backends")
    @classmethod
    def _names(cls, backends: tuple[AnyBackend, ...]) -> tuple[AnyBackend, ...]:
        named = tuple(
            b if b.name else b.model_copy(update={"name": b.default_name}) for b in backends
        )
        names = [b.name for b in named]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(
                f"two backends have the name '{twice[0]}'; give each its own with `name:`"
            )
        return named
