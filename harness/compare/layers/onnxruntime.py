"""ONNX Runtime's own profile of a model, in a process of the environment that is asked about.

    python -m harness.compare.layers.onnxruntime '{"model": …, "provider": …, "threads": …, …}'

It prints one line of JSON: for each layer its name, type, output shape, where it ran, and the
microseconds of each run. Needs numpy and onnxruntime. These runs are slower than others, and never
mixed with timed ones.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SUFFIX = "_kernel_time"
DTYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int8)": "int8",
    "tensor(uint8)": "uint8", "tensor(bool)": "bool",
}  # fmt: skip


def profile(
    model: str, provider: str, threads: int | None, batch: int, warmup: int, runs: int
) -> dict[str, object]:
    """Run the model `warmup` + `runs` times; the layers of the latter."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        if threads is not None:
            options.intra_op_num_threads = threads
        session = ort.InferenceSession(model, options, providers=[provider])
        inputs = _inputs(session.get_inputs(), batch)
        for _ in range(warmup + runs):
            session.run(None, inputs)
        text = Path(session.end_profiling()).read_text(encoding="utf-8")
    return {"version": ort.__version__, **layers(json.loads(text), warmup)}


def _inputs(specs: Iterable[Any], batch: int) -> dict[str, Any]:
    """The same random values in every version; a dimension without a size is the batch."""
    import numpy as np

    rng, found = np.random.default_rng(0), {}
    for spec in specs:
        shape = [d if isinstance(d, int) else batch for d in spec.shape]
        dtype = np.dtype(DTYPES[spec.type])
        values = rng.random(shape) if dtype.kind == "f" else rng.integers(0, 2, shape)
        found[spec.name] = values.astype(dtype)
    return found


def layers(events: Iterable[Mapping[str, Any]], warmup: int) -> dict[str, object]:
    """The layers' times in microseconds by run, of the runs after `warmup`, and the runs' own."""
    found: dict[tuple[str, str, str, str], list[float]] = {}
    runs = []
    for event in sorted(events, key=lambda e: float(e.get("ts", 0))):
        if event.get("cat") == "Session" and event["name"] == "model_run":
            runs.append(float(event["dur"]))
        elif event.get("cat") == "Node" and event["name"].endswith(SUFFIX):
            found.setdefault(_key(event), []).append(float(event["dur"]))
    return {
        "run_us": runs[warmup:],
        "layers": [
            {"name": name, "type": kind, "shape": shape, "where": where, "us": us[warmup:]}
            for (name, kind, shape, where), us in found.items()
        ],
    }


def _key(event: Mapping[str, Any]) -> tuple[str, str, str, str]:
    about = event["args"]
    shape = json.dumps([next(iter(s.values())) for s in about.get("output_type_shape", [])])
    name = str(event["name"]).removesuffix(SUFFIX)
    return name, str(about["op_name"]), shape, str(about.get("provider", ""))


if __name__ == "__main__":
    print(json.dumps(profile(**json.loads(sys.argv[1]))), flush=True)
