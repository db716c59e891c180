"""A TensorRT engine inside Triton's Python backend, by the code that runs engines in-process.

`open_engine` runs in the stub: one call an instance, each with a context and a stream of its own.
`check_engine` runs in the orchestrator, which has no TensorRT. They meet in `loaded-INSTANCE.json`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BackendError, ServerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.backends.tensorrt.backend import TensorRtBackend
    from harness.backends.tensorrt.settings import TensorRtSettings
    from harness.models.tensors import Tensors

ENGINE_KEYS = ("flavor", "workspace", "optimization_level", "cuda_graphs")
"""Settings of `serve: tensorrt` that travel as parameters of config.pbtxt, besides precision."""
LOADED = "loaded-{}.json"
"""What an instance writes beside its model.py once it has loaded."""


class EngineRunner(contextlib.AbstractContextManager["EngineRunner"]):
    """Arrays in, outputs in the wanted order out; belongs to the thread that opened it."""

    def __init__(
        self, backend: TensorRtBackend, facts: Mapping[str, object], outputs: Sequence[str]
    ) -> None:
        self.facts = facts
        self._backend, self._outputs = backend, tuple(outputs)
        self._seen: set[object] = set()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(backend)
        self._caller = self._stack.enter_context(backend.caller())

    def __call__(self, arrays: Tensors) -> list[NDArray[np.generic]]:
        """Copy in from where the request lies, compute, copy out. Raises HarnessError."""
        from harness.backends.tensorrt.bindings import borrow_request

        request = borrow_request(self._backend.loaded.inputs, arrays)
        reply = self._caller.infer(request)
        found = self._caller.outputs(reply)
        if request.shapes not in self._seen:  # a server is killed, so it can't wait for the end
            self._seen.add(request.shapes)
            self._backend.keep_kernels()
        return [found[name] for name in self._outputs]

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def open_engine(
    prepared: Path, parameters: Mapping[str, str], gpu: int, max_batch_size: int,
    outputs: Sequence[str],
) -> EngineRunner:  # fmt: skip
    """Load the engine for `prepared.json` on a GPU, from the cache or built now.

    It takes batches from 1 to `max_batch_size` (0: the prepared model's) and is best at the
    largest. A local tensorrt backend whose smallest batch size is 1 and largest is this shares the
    engine. Raises what `TensorRtBackend.load` raises.
    """
    from dataclasses import replace

    from harness.backends.base import BackendContext
    from harness.backends.tensorrt.backend import TensorRtBackend
    from harness.models.tensors import PreparedModel

    model = PreparedModel.from_json(json.loads(prepared.read_text(encoding="utf-8")))
    largest = max_batch_size or model.max_batch_size
    context = BackendContext(
        replace(model, max_batch_size=largest), cache=Path(parameters["cache"]),
        batch_sizes=(1, largest),
    )  # fmt: skip
    backend = TensorRtBackend(engine_spec(parameters, gpu), context)
    cost = backend.load()
    facts = {
        **cost.details, "stages_ns": dict(cost.stages_ns),
        "engine_bytes": cost.bytes_on_disk, "load_seconds": cost.seconds,
    }  # fmt: skip
    return EngineRunner(backend, facts, outputs)


def engine_spec(parameters: Mapping[str, str], gpu: int) -> TensorRtSettings:
    """The parameters of config.pbtxt as the settings of a local tensorrt backend."""
    from harness.backends.tensorrt.settings import TensorRtSettings

    found: dict[str, object] = {"kind": "tensorrt", "name": "engine", "device": f"cuda:{gpu}"}
    words = ("precision", "flavor", "workspace")
    found |= {k: parameters[k] for k in words if k in parameters}
    values = ("optimization_level", "cuda_graphs")
    found |= {k: json.loads(parameters[k]) for k in values if k in parameters}
    return TensorRtSettings.model_validate(found)


def write_loaded(folder: Path, instance: str, facts: Mapping[str, object]) -> None:
    """Leave what an instance loaded for `check_engine`."""
    from harness.system.files import jsonable, write_text

    write_text(folder / LOADED.format(instance), json.dumps(jsonable(facts), indent=1) + "\n")


def said(directory: Path | None) -> list[dict[str, Any]]:
    """What instances of a model have left with `write_loaded`; nothing where that is elsewhere."""
    written = sorted((directory / "1").glob(LOADED.format("*"))) if directory is not None else []
    return [json.loads(path.read_text(encoding="utf-8")) for path in written]


def check_engine(directory: Path) -> dict[str, object]:
    """What the instances of a model loaded: the facts of the first, for the report.

    Raises ServerError when an engine was written by another TensorRT than the server runs, or
    when an instance did not say what it loaded.
    """
    if not (every := said(directory)):
        raise ServerError(f"no instance of '{directory.name}' said which engine it loaded")
    for facts in every:
        _check_version(directory.name, facts)
    built = [facts for facts in every if facts.get("built")]
    return dict((built or every)[0])


def _check_version(model: str, facts: Mapping[str, Any]) -> None:
    from harness.backends.tensorrt.library import Release, engine_header, misfit

    serving = Release(facts["flavor"], facts["tensorrt"])
    try:
        reason = misfit(engine_header(Path(facts["engine"])), serving)
    except (BackendError, OSError) as error:
        reason = str(error)
    if reason:
        raise ServerError(
            f"the engine of '{model}' does not fit the server: {reason}",
            fix=f"remove {facts['engine']}, so that the server's {serving.title} builds its own",
        )
