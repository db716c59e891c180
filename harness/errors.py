"""The one exception tree: what an error is called, means and does stands on its class.

`reason` is the word under which a journal records it, `words` says the same in a report, `retried`
whether a point is tried again in later rounds, `exit_code` how it ends the program. A new reason is
one class; tests/support/errors_page.py makes the table of docs/errors.md of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar


class HarnessError(Exception):
    """Base of everything the harness raises on purpose: one sentence a user understands."""

    exit_code: ClassVar[int] = 1
    reason: ClassVar[str] = "failed"
    words: ClassVar[str] = "failed"
    """The reason in a report, of a point that failed."""
    retried: ClassVar[bool] = True
    """Whether the point is tried again in later rounds: not where it would only come again."""

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


class UsageError(HarnessError):
    """The command line, or a file the user wrote, is wrong."""

    exit_code = 2
    reason = "usage"
    words = "the command line or a file is wrong"
    retried = False


def did_you_mean(near: str | None = None) -> str:
    """What a message about an unknown name ends with; nothing where no name is near."""
    return f"; did you mean '{near}'?" if near else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a file: where it is (1-based line and column), which key, what is wrong."""

    file: str
    line: int
    column: int
    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}: "
        key = f"{self.path}: " if self.path else ""
        return f"{where}{key}{self.message}{did_you_mean(self.suggestion)}"


class ScenarioError(UsageError):
    """A scenario that can't be run, with every problem found in it."""

    reason = "scenario"
    words = "the scenario is wrong"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class RunDirectoryError(UsageError):
    """A directory that is no run directory, or one that does not fit what was asked."""

    reason = "run_directory"
    words = "the run directory does not fit"


class SetupError(HarnessError):
    """This machine lacks something that the run needs."""

    exit_code = 3
    reason = "setup"
    words = "this machine lacks something that is needed"
    retried = False


class MissingPackageError(SetupError):
    """A Python package that a backend needs is not installed."""

    reason = "missing_package"
    words = "a Python package is missing"


class InterpreterError(SetupError):
    """An environment of the scenario can't be made, or its Python can't run a worker."""

    reason = "environment"
    words = "its environment could not be made"


class ServerError(SetupError):
    """A Triton server can't be installed, started, reached or understood."""

    reason = "server"
    words = "the Triton server could not be started or reached"
    retried = True


class UnreachableError(ServerError):
    """Nobody answers at a server's address, or not in this protocol."""

    reason = "unreachable"
    words = "nobody answers at the server's address"


class TlsError(ServerError):
    """No encrypted connection: a certificate that is not trusted, or TLS at one end only."""

    reason = "tls"
    words = "the certificate or the encryption does not fit the server's"
    retried = False


class AccessError(ServerError):
    """A server, or a proxy before it, lets nobody in with these headers: 401 or 403."""

    reason = "access_denied"
    words = "the server does not let the harness in"
    retried = False


class PortInUseError(ServerError):
    """A port that a server was to have belongs to somebody else."""

    reason = "port_in_use"
    words = "the server's port is in use"


class ModelRefusedError(ServerError):
    """A Triton server is there, and can't or won't serve the model as it is asked for."""

    reason = "model_refused"
    words = "the Triton server does not serve the model as it is asked for"
    retried = False


class UnknownModelError(ModelRefusedError):
    """A Triton server, or its repository, has no model of this name."""

    reason = "unknown_model"
    words = "the server has no model of this name"


class EmptyOutputError(ModelRefusedError):
    """A server's answers say what shape an output has, and hold none of it."""

    reason = "empty_output"
    words = "the server answers with empty outputs"


class DeviceError(SetupError):
    """A device or execution provider that was asked for is not available."""

    reason = "device"
    words = "the device or execution provider is not available"


class LimitError(SetupError):
    """A memory limit can't be put in force here, or what should enforce it does not."""

    reason = "limit"
    words = "its memory limit is not in force"


class PointError(HarnessError):
    """One point can't be measured; it is recorded on the point and the sweep goes on."""

    reason = "point"
    words = "the point could not be measured"


class BackendError(PointError):
    """The runtime raised."""

    reason = "raised"
    words = "the runtime raised an error"


class OutOfMemoryError(PointError):
    """Host or device memory ran out."""

    reason = "out_of_memory"
    words = "memory ran out"
    retried = False


class DeadlineError(PointError):
    """No answer before the deadline: the worker hung and was killed."""

    reason = "hung"
    words = "no answer before the deadline"
    retried = False


class MessageError(PointError):
    """What a worker sent is no message, or not the one that was expected; it was killed."""

    reason = "message"
    words = "the worker's answer made no sense"


class WorkerDiedError(PointError):
    """The worker process ended on its own, by a signal or an exit."""

    reason = "died"
    words = "the worker process ended unexpectedly"


AFTER_CRASH = "try another `precision`, or a lower `graph_optimization_level` of onnxruntime"
"""The fix of `CrashedError`."""


class CrashedError(WorkerDiedError):
    """A runtime's own code ended the worker, by a signal, while it loaded the model."""

    reason = "crashed"
    words = "the runtime itself crashed while it loaded the model"
    retried = False


class UnexpectedError(PointError):
    """An exception that nobody thought of; its traceback is in the log that the point names."""

    reason = "unexpected"
    words = "the harness failed in a way that it does not know"


class ServerDiedError(PointError):
    """The Triton server ended in the middle of the point."""

    reason = "server_died"
    words = "the Triton server ended during the measurement"


class ParityError(PointError):
    """Outputs disagree with the reference, or with what their server says of the model."""

    reason = "parity"
    words = "outputs disagree with the reference or the model's configuration, so it was not timed"
    retried = False


class InconclusiveError(HarnessError):
    """Measured, but the numbers can't be believed or do not decide the question."""

    exit_code = 4
    reason = "inconclusive"
    words = "measured, but it decides nothing"


def tree(cls: type[HarnessError] = HarnessError) -> list[type[HarnessError]]:
    """`cls` and all classes below it, each before those that derive from it."""
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in tree(sub))]


def class_of(reason: str) -> type[HarnessError]:
    """The class of a reason that a journal holds; HarnessError for one that no class has."""
    return {c.reason: c for c in tree()}.get(reason, HarnessError)


def words_of(reason: str) -> str:
    """A reason that a journal holds, in words."""
    known = class_of(reason)
    return known.words if known.reason == reason else reason.replace("_", " ") or "failed"


def from_reason(reason: str, message: str, fix: str | None = None) -> HarnessError:
    """Rebuild the exception a worker reported by its `reason` and `message`."""
    cls = class_of(reason)
    if cls.reason == reason and cls is not ScenarioError:
        return cls(message, fix=fix)
    return BackendError(f"{reason}: {message}", fix=fix)


_MEMORY = (
    "out of memory", "out_of_memory", "can't allocate memory", "failed to allocate memory",
    "bad_alloc", "alloc_failed", "cannot allocate memory", "memoryallocation", "outofmemory",
    "is smaller than requested bytes",  # of ONNX Runtime's arenas, which have a limit
)  # fmt: skip
"""What the runtimes' messages say when memory runs out, in lower case."""
_OPERATORS = (
    "is not a registered function/op", "could not find an implementation", "no op registered for",
    "unsupported model ir version", "not currently registered or supported", "till opset",
)  # fmt: skip
"""And what ONNX Runtime's say of a file's operators, types or version that it does not have."""
_DEVICE = (
    "no cuda-capable device", "insufficientdriver", "driver version is insufficient",
    "nodevice", "no_device", "invaliddevice", "invalid device ordinal", "invalid_device",
    "nvidia driver", "stub library", "initializationerror", "system has unsupported",
)  # fmt: skip
"""And what CUDA's say where it finds no GPU, or none that it can use."""


@contextlib.contextmanager
def translated(doing: str = "", but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise what `translate` makes of whatever is raised inside, `but` these as they are."""
    try:
        yield
    except but:
        raise
    except Exception as error:
        raise translate(error, doing) from error


def translate(error: Exception | str, doing: str = "") -> HarnessError:
    """The harness's exception for one that a runtime raised, with its type and message kept."""
    if isinstance(error, HarnessError):
        return error
    said = error if isinstance(error, str) else f"{type(error).__name__}: {error}".rstrip(": ")
    words, text = said.lower(), f"{doing}: {said}" if doing else said
    if isinstance(error, MemoryError) or any(w in words for w in _MEMORY):
        return OutOfMemoryError(text)
    if any(w in words for w in _DEVICE):
        return DeviceError(text, fix="check `nvidia-smi`; choose another `device` in the scenario")
    if any(w in words for w in _OPERATORS):
        fix = (
            "export it with operators, types and an opset that this ONNX Runtime has on its device"
        )
        return BackendError(text, fix=f"{fix}, or install a newer one")
    return BackendError(text)
