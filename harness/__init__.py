"""Benchmark and stress-test harness for model inference on GPUs.

One declarative scenario compares eager PyTorch, ONNX Runtime, TensorRT and Triton over batch
and concurrency sweeps: with intervals over rounds, conditions, and flags on what can't be believed.

    import harness

    run = harness.run("scenario.yaml")
    run.summary()

What `__all__` names is the Python API (docs/python.md); everything else may change. It is imported
when it is used: importing this package registers the kinds of backend, as plain text, and imports
neither numpy nor pydantic, let alone torch, pandas or plotly.
"""

import importlib
import sys
import types

TYPE_CHECKING = False  # by that name type checkers take it for true; `typing` is not imported

if TYPE_CHECKING:
    from harness.api import PointText, Run, load_scenario, open_run, resume, run

    # isort: off
    from harness.errors import (
        AccessError, BackendError, CrashedError, DeadlineError, DeviceError, EmptyOutputError,
        HarnessError, InconclusiveError, InterpreterError, LimitError, MessageError,
        MissingPackageError, ModelRefusedError, OutOfMemoryError, ParityError, PointError,
        PortInUseError, RunDirectoryError, ScenarioError, ServerDiedError, ServerError, SetupError,
        TlsError, UnexpectedError, UnknownModelError, UnreachableError, UsageError, WorkerDiedError,
    )  # fmt: skip

    # isort: on
    from harness.scenario.spec.scenario import Scenario
    from harness.version import __version__

__all__ = [
    "AccessError", "BackendError", "CrashedError", "DeadlineError", "DeviceError",
    "EmptyOutputError", "HarnessError", "InconclusiveError", "InterpreterError", "LimitError",
    "MessageError", "MissingPackageError",
    "ModelRefusedError", "OutOfMemoryError", "ParityError", "PointError", "PointText",
    "PortInUseError", "Run", "RunDirectoryError", "Scenario", "ScenarioError", "ServerDiedError",
    "ServerError", "SetupError", "TlsError", "UnexpectedError", "UnknownModelError",
    "UnreachableError", "UsageError", "WorkerDiedError", "__version__", "load_scenario",
    "open_run", "resume", "run",
]  # fmt: skip
_WHERE = {
    **dict.fromkeys(("PointText", "Run", "load_scenario", "open_run", "resume", "run"), "api"),
    "Scenario": "scenario.spec.scenario", "__version__": "version",
}  # fmt: skip


def __getattr__(name: str) -> object:
    """Import what is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(f"harness.{_WHERE.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return __all__


class _FrontDoor(types.ModuleType):
    """This module: `harness.run` stays the function when the subpackage of its name is loaded."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, types.ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _FrontDoor
importlib.import_module("harness.system.environment")  # before any runtime
importlib.import_module("harness.backends.registry")  # by name: no folder depends on it by this
