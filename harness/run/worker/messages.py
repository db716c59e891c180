"""What the orchestrator and a worker say to each other: one JSON message a line.

A command is `{"do": NAME, …}`, an answer `{"event": NAME, …}`; both are read and written here and
nowhere else. pydantic checks what is read against the dataclass: a name that is not known, and a
field that lacks, is unknown or has another type, is a MessageError. Each command says which answer
it gets:

    prepare  → prepared    export the model, check it, write the reference outputs
    describe → described   inputs of a model that lives on a Triton server
    load     → loaded      import and load the backend, make the first call
    parity   → parity      outputs against the reference
    measure  → progress…, measured
    start    → started     begin a load that goes on while another worker measures
    stop     → measured    end that load; its samples
    ceiling  → ceiling     what the generator reaches with the latest requests, by a null server
    unload   → unloaded    free the backend; another can be loaded
    close    → closed

Any of them may be answered by `error`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Generic, TypeAlias, TypeVar, get_args

from pydantic import ConfigDict, PlainSerializer, PlainValidator, ValidationError

from harness.backends.base import ServerAddress
from harness.backends.registry import from_message, message_of
from harness.errors import HarnessError, MessageError, from_reason
from harness.load.plan import LoadPlan, WindowSettings
from harness.measure.window import Window
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.events import Progress
from harness.results.line import adapter
from harness.results.rows import ArtifactRow, ParityRow
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.model import ModelSpec, Parity
from harness.system.credentials import cut, redact_all


class Message:
    """Base: a frozen dataclass of which nothing may be left out and nothing added."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Answer(Message):
    """What a worker sends. `EVENT` is its name."""

    EVENT: ClassVar[str]


A = TypeVar("A", bound=Answer)


@dataclass(frozen=True, slots=True)
class Command(Message, Generic[A]):
    """What a worker is to do, by the class of its answer. `DO` is its name."""

    DO: ClassVar[str]

    @property
    def answer_type(self) -> type[A]:
        """The class of its answer, as the base of its own class says."""
        found: type[A] = get_args(getattr(type(self), "__orig_bases__")[0])[0]  # noqa: B009
        return found


# --------------------------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class ModelPrepared(Answer):
    """The model's files are there."""

    EVENT = "prepared"
    model: PreparedModel
    reference: Path
    """The folder of the reference outputs."""
    artifacts: tuple[ArtifactRow, ...]


@dataclass(frozen=True, slots=True)
class ModelDescribed(Answer):
    """What a server says of its model."""

    EVENT = "described"
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int
    config: str
    """The model configuration, as protobuf text."""


@dataclass(frozen=True, slots=True)
class BackendLoaded(Answer):
    """What loading cost."""

    EVENT = "loaded"
    seconds: float | None
    """Of a model that a server serves: where it was asked to load it, else None."""
    first_call_ms: float
    bytes_on_disk: int | None
    stages_ns: Mapping[str, int]
    """When its stages ended, monotonic ns: see `harness.telemetry.stages`."""
    details: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class OutputsCompared(Answer):
    """One row a batch size."""

    EVENT = "parity"
    rows: tuple[ParityRow, ...]


@dataclass(frozen=True, slots=True)
class PointMeasured(Answer):
    """What a worker knows of a stretch of load; the samples are in the file that was asked for."""

    EVENT = "measured"
    window: Window
    """Of a load that was started and stopped: all of it."""
    messages: Mapping[str, int]
    """Error messages and how often each came."""
    outputs_checked: int
    outputs_wrong: tuple[str, ...]
    input_bytes: int
    """Of one request's tensors."""
    metrics: Mapping[str, object] | None = None
    """The readings of the server's /metrics: `Scraper.finish`, and the `model`."""
    traces: tuple[tuple[int, ...], ...] = ()
    """The stages of requests that the server traced: `Tracer.finish`."""


@dataclass(frozen=True, slots=True)
class LoadStarted(Answer):
    """Requests flow."""

    EVENT = "started"


@dataclass(frozen=True, slots=True)
class CeilingMeasured(Answer):
    """What the load generator reaches against a null server."""

    EVENT = "ceiling"
    requests_per_s: float
    response_bytes: int


@dataclass(frozen=True, slots=True)
class BackendUnloaded(Answer):
    """The worker holds no backend."""

    EVENT = "unloaded"


@dataclass(frozen=True, slots=True)
class WorkerClosed(Answer):
    """The worker's last words."""

    EVENT = "closed"


@dataclass(frozen=True, slots=True)
class CommandFailed(Answer):
    """A command that raised."""

    EVENT = "error"
    reason: str
    message: str
    fix: str | None = None

    @property
    def error(self) -> HarnessError:
        """The exception that the worker caught, as the harness's own."""
        return from_reason(self.reason, self.message, self.fix)


# -------------------------------------------------------------------------------------- commands

Settings: TypeAlias = Annotated[
    BackendSettings, PlainValidator(from_message), PlainSerializer(message_of)
]
"""Of any kind that is registered, also by others: the worker is told where it comes from."""


@dataclass(frozen=True, slots=True)
class PrepareModel(Command[ModelPrepared]):
    """Make what `formats` ask for; relative paths are relative to `base`."""

    DO = "prepare"
    model: ModelSpec
    formats: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    cache: Path
    base: Path


@dataclass(frozen=True, slots=True)
class DescribeModel(Command[ModelDescribed]):
    """Ask the server what the model is."""

    DO = "describe"
    backend: Settings
    server: ServerAddress


@dataclass(frozen=True, slots=True)
class LoadBackend(Command[BackendLoaded]):
    """Load the backend, then send one request of `first_batch` items."""

    DO = "load"
    backend: Settings
    model: PreparedModel
    first_batch: int
    batch_sizes: tuple[int, ...] = ()
    """What will be asked for: an engine is built for these."""
    request_timeout: float = 30.0
    cache: Path | None = None
    server: ServerAddress = field(default_factory=ServerAddress)
    parity: Parity = field(default_factory=Parity)
    """How outputs under load are compared with those of a quiet call."""


@dataclass(frozen=True, slots=True)
class CompareOutputs(Command[OutputsCompared]):
    """Compare the outputs at each batch size with those in the folder `reference`."""

    DO = "parity"
    parity: Parity
    batch_sizes: tuple[int, ...]
    reference: Path


@dataclass(frozen=True, slots=True)
class MeasurePoint(Command[PointMeasured]):
    """Warm up and measure one window; raw samples go to the .npz file `samples`."""

    DO = "measure"
    plan: LoadPlan
    settings: WindowSettings
    batch_size: int
    distinct_inputs: int
    samples: Path
    again: bool = False
    """A further turn of the load before: nothing is given back, no request is made anew."""


@dataclass(frozen=True, slots=True)
class StartLoad(Command[LoadStarted]):
    """Begin a load; it goes on until `stop`."""

    DO = "start"
    plan: LoadPlan
    batch_size: int
    distinct_inputs: int
    request_timeout: float


@dataclass(frozen=True, slots=True)
class StopLoad(Command[PointMeasured]):
    """End the load; raw samples go to the .npz file `samples`."""

    DO = "stop"
    samples: Path


@dataclass(frozen=True, slots=True)
class MeasureCeiling(Command[CeilingMeasured]):
    """Send the latest load's requests to a null server, `slots` at a time."""

    DO = "ceiling"
    slots: int
    processes: int = 1


@dataclass(frozen=True, slots=True)
class UnloadBackend(Command[BackendUnloaded]):
    """Free the backend."""

    DO = "unload"


@dataclass(frozen=True, slots=True)
class CloseWorker(Command[WorkerClosed]):
    """Free the backend and end."""

    DO = "close"


AnyCommand: TypeAlias = (
    PrepareModel | DescribeModel | LoadBackend | CompareOutputs | MeasurePoint | StartLoad
    | StopLoad | MeasureCeiling | UnloadBackend | CloseWorker
)  # fmt: skip
AnyAnswer: TypeAlias = (
    ModelPrepared | ModelDescribed | BackendLoaded | OutputsCompared | PointMeasured | LoadStarted
    | CeilingMeasured | BackendUnloaded | WorkerClosed | Progress | CommandFailed
)  # fmt: skip
COMMANDS: Mapping[str, type[AnyCommand]] = {cls.DO: cls for cls in get_args(AnyCommand)}
ANSWERS: Mapping[str, type[AnyAnswer]] = {cls.EVENT: cls for cls in get_args(AnyAnswer)}

# ----------------------------------------------------------------------------------- on the wire

M = TypeVar("M")


def command_line(command: Command[A]) -> bytes:
    """A command as the worker reads it."""
    return _line({"do": command.DO, **adapter(type(command)).dump_python(command)})


def answer_line(answer: Answer | Progress) -> bytes:
    """An answer as the orchestrator reads it; secrets are placeholders again."""
    found = {"event": answer.EVENT, **adapter(type(answer)).dump_python(answer)}
    return _line(redact_all(found))


def read_command(line: bytes) -> AnyCommand:
    """What `command_line` wrote. Raises MessageError."""
    return _read(line, "do", COMMANDS)


def read_answer(line: bytes) -> AnyAnswer:
    """What `answer_line` wrote. Raises MessageError."""
    return _read(line, "event", ANSWERS)


def _line(message: object) -> bytes:
    return json.dumps(message, default=str).encode() + b"\n"


def _read(line: bytes, key: str, classes: Mapping[str, type[M]]) -> M:
    try:
        content = json.loads(line)
        cls = classes[content.pop(key)]
        return adapter(cls).validate_json(json.dumps(content))
    except (ValidationError, ValueError, TypeError, AttributeError, KeyError) as error:
        start = cut(line.decode("utf-8", "replace"), 80).rstrip("…")
        raise MessageError(f"no message that is known: {start}…: {error!r}") from error
