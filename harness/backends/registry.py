"""Which backends there are: one line a kind, its settings and its implementation.

The table holds plain text: `import harness` registers every kind and imports none. A backend of
your own is one call, made before a scenario that names it is read:

    from harness.backends import registry
    registry.register("toy", settings="my_toy:ToySettings", backend="my_toy:ToyBackend")

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
- A backend that differs by a setting, as Triton's does by protocol, is registered by a mapping of
  that setting's values: `backend={"http": "…:A", "grpc": "…:B"}`; `settings.variant` is the value.
- Backends run in worker processes. `message_of` puts both paths beside the settings, and
  `from_message` registers them there; the module must be importable in the worker: beside the
  scenario file, in the working directory, on PYTHONPATH, or installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.scenario import kinds

if TYPE_CHECKING:
    from harness.backends.base import Backend, BackendContext
    from harness.scenario.spec.backend import BackendSettings

Implementation = str | Mapping[str, str]
"""`module:Class`, or one for each `variant` of the settings."""
BACKENDS: dict[str, Implementation] = {}
"""Kind → its implementation, imported when it is opened."""
REGISTERED = "registered"
"""The key of a message that holds the paths of a kind."""


def register(kind: str, *, settings: str, backend: Implementation) -> None:
    """Make `kind` known; the same again does nothing.

    Raises UsageError where the kind is taken by another.
    """
    kinds.register(kind, settings)
    BACKENDS[kind] = backend


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
    path = BACKENDS[spec.kind]
    make = kinds.import_path(path if isinstance(path, str) else path[spec.variant])
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
         backend={"http": "harness.triton.client.http:TritonHttpBackend",
                  "grpc": "harness.triton.client.grpc:TritonGrpcBackend"})  # fmt: skip
register("fake", settings="harness.backends.fake:FakeSettings",
         backend="harness.backends.fake:FakeBackend")  # fmt: skip
