"""The one exception tree. Each class knows the exit code it ends the program with.

Each class also has a `reason`: the word under which a journal records it.

    HarnessError                    1   anything below, or something we did not foresee
    ├── UsageError                  2   the command line or a file the user wrote is wrong
    │   ├── ScenarioError           2   the scenario: carries every `Problem` found, with positions
    │   └── RunDirectoryError       2   not a run directory, or one that does not fit the scenario
    ├── SetupError                  3   this machine lacks something; `fix` says what to do about it
    │   ├── MissingPackageError     3   a Python package; `fix` is the install command
    │   ├── ServerError             3   Triton can't be installed, started, reached or understood
    │   └── DeviceError             3   a GPU or provider that was asked for is not there
    ├── PointError                  1   one point can't be measured; the sweep goes on
    │   ├── BackendError            1   `raised`: the runtime raised
    │   ├── OutOfMemoryError        1   `out_of_memory`: host or device
    │   ├── DeadlineError           1   `hung`: no answer before the deadline
    │   ├── WorkerDiedError         1   `died`: the worker process ended by a signal or exit
    │   ├── ServerDiedError         1   `server_died`: Triton ended in the middle of the point
    │   └── ParityError             1   `parity`: outputs disagree with the reference
    └── InconclusiveError           4   measured, but the numbers can't be believed or don't decide
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class HarnessError(Exception):
    """Base of everything the harness raises on purpose: one sentence a user understands."""

    exit_code: ClassVar[int] = 1
    reason: ClassVar[str] = "failed"

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
        hint = f"; did you mean '{self.suggestion}'?" if self.suggestion else ""
        return f"{where}{key}{self.message}{hint}"


class ScenarioError(UsageError):
    """A scenario that can't be run, with every problem found in it."""

    reason = "scenario"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class RunDirectoryError(UsageError):
    """A directory that is no run directory, or one that does not fit what was asked."""

    reason = "run_directory"


class SetupError(HarnessError):
    """This machine lacks something that the run needs."""

    exit_code = 3
    reason = "setup"


class MissingPackageError(SetupError):
    """A Python package that a backend needs is not installed."""

    reason = "missing_package"


class ServerError(SetupError):
    """A Triton server can't be installed, started, reached or understood."""

    reason = "server"


class DeviceError(SetupError):
    """A device or execution provider that was asked for is not available."""

    reason = "device"


class PointError(HarnessError):
    """One point can't be measured; it is recorded on the point and the sweep goes on."""

    reason = "point"


class BackendError(PointError):
    """The runtime raised."""

    reason = "raised"


class OutOfMemoryError(PointError):
    """Host or device memory ran out."""

    reason = "out_of_memory"


class DeadlineError(PointError):
    """No answer before the deadline: the worker hung and was killed."""

    reason = "hung"


class WorkerDiedError(PointError):
    """The worker process ended on its own, by a signal or an exit."""

    reason = "died"


class ServerDiedError(PointError):
    """The Triton server ended in the middle of the point."""

    reason = "server_died"


class ParityError(PointError):
    """The backend's outputs disagree with the reference beyond the tolerance."""

    reason = "parity"


class InconclusiveError(HarnessError):
    """Measured, but the numbers can't be believed or do not decide the question."""

    exit_code = 4
    reason = "inconclusive"


def _walk(cls: type[HarnessError]) -> list[type[HarnessError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _walk(sub))]


def from_reason(reason: str, message: str, fix: str | None = None) -> HarnessError:
    """Rebuild the exception a worker reported by its `reason` and `message`."""
    for cls in _walk(HarnessError):
        if cls.reason == reason and cls is not ScenarioError:
            return cls(message, fix=fix)
    return BackendError(f"{reason}: {message}", fix=fix)


_MEMORY = (
    "out of memory", "out_of_memory", "can't allocate memory", "failed to allocate memory",
    "bad_alloc", "alloc_failed", "cannot allocate memory",
    "is smaller than requested bytes",  # of ONNX Runtime's arenas, which have a limit
)  # fmt: skip
"""What the runtimes' messages say when memory runs out, in lower case."""


def translate(error: Exception, doing: str = "") -> HarnessError:
    """The harness's exception for one that a runtime raised, with its type and message kept."""
    if isinstance(error, HarnessError):
        return error
    text = f"{doing + ': ' if doing else ''}{type(error).__name__}: {error}".rstrip(": ")
    full = f"{type(error).__name__} {error}".lower()
    if isinstance(error, MemoryError) or any(words in full for words in _MEMORY):
        return OutOfMemoryError(text)
    return BackendError(text)
