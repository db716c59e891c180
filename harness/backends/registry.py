"""Which backends there are: one line a kind, its settings and its implementation.

The table holds plain text: `import harness` registers every kind and imports none. A backend of
your own is one call, made before a scenario that names it is read:

    from harness.backends import registry
    registry.register("toy", settings="my_toy:ToySettings", backend="my_toy:ToyBackend")

or, with the class at hand, `registry.kind_of(ToyBackend)`. docs/own-backend.md has a whole one.

The contract:

- `ToySettings` is a `harness.scenario.spec.backend.BackendSettings` (frozen, strict pydantic) with
  `kind: Literal["toy"]`. Its fields are the keys of the scenario. Its ClassVars say what the
  harness must know of the kind: `sources` (of a model that it can run; none by default, so give
  them), `start_seconds`, `packages`, `remote`; its properties what follows from the settings:
  `default_name`, `formats`, `on_gpu`. `checks()` makes its lines of `harness doctor`; `_broken()`
  has rules of the settings, `fits()` rules between them and the model. All but `kind` and
  `sources` may stay as they are.
- `ToyBackend` is called as `ToyBackend(settings, context)` with a
  `harness.backends.base.BackendContext` and follows the protocol `harness.backends.base.Backend`.
- Backends run in worker processes. `message_of` puts both paths beside the settings, and
  `from_message` registers them there; the module must be importable in the worker: beside the
  scenario file, in the working directory, on PYTHONPATH, or installed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from harness.errors import UsageError
from harness.scenario import kinds

if TYPE_CHECKING:
    from harness.backends.base import Backend, BackendContext
    from harness.scenario.spec.backend import BackendSettings

BACKENDS: dict[str, str] = {}
"""Kind → `module:Class` of its implementation, imported when it is opened."""
REGISTERED = "registered"
"""The key of a message that holds the paths of a kind."""


def register(kind: str, *, settings: str, backend: str) -> None:
    """Make `kind` known; the same again does nothing.

    Raises UsageError where the kind is taken by another.
    """
    kinds.register(kind, settings)
    BACKENDS[kind] = backend


def kind_of(backend: type[Backend], settings: type[BackendSettings] | None = None) -> str:
    """Register a class by where another process can import it; the kind that it is.

    Its settings are those that its constructor's first argument names, unless they are given.
    Raises UsageError where no other process could import a class, and where the settings have no
    `kind` of their own.
    """
    settings = settings or _settings_of(backend)
    words = get_args(settings.model_fields["kind"].annotation)
    if len(words) != 1:
        raise UsageError(
            f"{settings.__qualname__} says no kind", fix='give it `kind: Literal["…"]`'
        )
    register(words[0], settings=_path_of(settings), backend=_path_of(backend))
    return str(words[0])


def _settings_of(backend: type[Backend]) -> type[BackendSettings]:
    import inspect  # here: `import harness` imports this module

    from harness.scenario.spec.backend import BackendSettings

    parameters = [*inspect.signature(backend, eval_str=True).parameters.values()]
    first = parameters[0].annotation if parameters else None
    if isinstance(first, type) and issubclass(first, BackendSettings):
        return first
    raise UsageError(
        f"{backend.__qualname__} does not say which settings it takes",
        fix="annotate its constructor: `def __init__(self, settings: MySettings, context)`",
    )


def _path_of(cls: type) -> str:
    """`module:Class`. A script's classes are those of a module with the name of its file."""
    module, file = cls.__module__, getattr(sys.modules.get(cls.__module__), "__file__", None)
    if module == "__main__" and file:
        module = getattr(sys.modules["__main__"].__spec__, "name", None) or Path(file).stem
        sys.modules.setdefault(module, sys.modules["__main__"])  # not once more in this process
    if not file or "<locals>" in cls.__qualname__:
        where = "inside a function" if file else "in no file"
        raise UsageError(
            f"{cls.__qualname__} is defined {where}: the worker processes could not import it",
            fix="put the class at the top level of a module, beside the scenario, in the working "
            "directory or installed, and import it from there",
        )
    return f"{module}:{cls.__qualname__}"


def parse_spec(data: object) -> BackendSettings:
    """Settings from plain data. Raises pydantic's ValidationError."""
    from harness.scenario.spec.backend import parse_backend

    return parse_backend(data)


def message_of(spec: BackendSettings) -> dict[str, object]:
    """The settings as JSON-able data for a worker, with where their kind comes from."""
    paths = {"settings": kinds.SETTINGS[spec.kind], "backend": BACKENDS[spec.kind]}
    return {**spec.model_dump(mode="json"), REGISTERED: paths}


def from_message(message: Mapping[str, object]) -> BackendSettings:
    """The settings from what `message_of` made, in another process; built-in kinds need no paths.

    Raises UsageError where the paths lead nowhere.
    """
    paths = message.get(REGISTERED)
    if isinstance(paths, dict):
        register(str(message["kind"]), **paths)
    return parse_spec({key: value for key, value in message.items() if key != REGISTERED})


def open_backend(spec: BackendSettings, context: BackendContext) -> Backend:
    """Import the class for `spec` and make it (not loaded yet). Raises UsageError."""
    make = kinds.import_path(BACKENDS[spec.kind])
    assert callable(make)
    backend: Backend = make(spec, context)
    return backend


register("torch", settings="harness.backends.torch.settings:TorchSettings",
         backend="harness.backends.torch.backend:TorchBackend")  # fmt: skip
register("onnxruntime", settings="harness.backends.onnxruntime.settings:OnnxRuntimeSettings",
         backend="harness.backends.onnxruntime.backend:OnnxRuntimeBackend")  # fmt: skip
register("tensorrt", settings="harness.backends.tensorrt.settings:TensorRtSettings",
         backend="harness.backends.tensorrt.backend:TensorRtBackend")  # fmt: skip
register("triton", settings="harness.triton.client.settings:TritonSettings",
         backend="harness.triton.client.backend:TritonBackend")  # fmt: skip
register("fake", settings="harness.backends.fake:FakeSettings",
         backend="harness.backends.fake:FakeBackend")  # fmt: skip
