"""One backend's layers, or its outputs, told by a process in which nothing is timed for a run.

    python -m harness.inspect.worker TASK.json IN OUT

`layers` has the layers' times in each run at one batch size; `outputs` names a file with every
output of each input at each batch size. Needs numpy, pydantic and the runtime that is inspected.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.backends.base import Backend, BackendContext, run_once
from harness.backends.registry import from_message, open_backend
from harness.inspect.answer import Send, main, telling
from harness.inspect.profilers import profile_layers
from harness.models.inputs import make_inputs
from harness.models.parity import loosest, unlike_itself
from harness.models.tensors import Array, PreparedModel, Tensors

MODULE = "harness.inspect.worker"


def work(task: Mapping[str, Any], send: Send) -> None:
    """Do what the task has: `layers` or `outputs`."""
    spec, folder = from_message(task["backend"]), Path(task["folder"])
    context = BackendContext(
        PreparedModel.from_json(task["model"]), cache=Path(task["cache"]),
        batch_sizes=tuple(task["batches"]), begin=telling(send),
    )  # fmt: skip
    if task["want"] == "layers":
        times = profile_layers(spec, context, task["batch"], task["runs"], folder)
        send({"event": "layers", **times.to_json()})
        return
    with open_backend(spec, context) as backend:
        backend.load()
        context.begin("work")
        precision = loosest(context.model.precision, getattr(spec, "precision", "fp32"))
        said = _outputs(backend, context, task["inputs"], precision, folder)
        send({"event": "outputs", **said})


def _outputs(
    backend: Backend, context: BackendContext, inputs: int, precision: str, folder: Path
) -> dict[str, object]:
    """The file, and which outputs are not the same when the first input is run again."""
    model, found = context.model, dict[str, Array]()
    first: list[Tensors] = []
    for batch in context.batch_sizes:
        for variant in range(inputs):
            outputs = run_once(backend, make_inputs(model, batch, variant))
            found |= {f"{batch}/{variant}/{name}": np.array(a) for name, a in outputs.items()}
            first = first or [
                {k: np.array(a) for k, a in outputs.items()},
                run_once(backend, make_inputs(model, batch, variant)),
            ]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "outputs.npz"
    with file.open("wb") as target:
        np.savez(target, **found)  # type: ignore[arg-type]
    return {"file": str(file), "unstable": unlike_itself(first[0], first[1], precision)}


if __name__ == "__main__":
    main(work)
