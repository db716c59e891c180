"""A worker needs numpy, pydantic and the runtime it measures: a TensorRT one no torch, no onnx."""

from __future__ import annotations

import subprocess
import sys

import pytest

ABSENT = (
    "torch", "onnx", "onnxruntime", "onnxscript", "tritonclient", "pandas",
    "pyarrow", "scipy", "plotly", "matplotlib", "ruamel", "jinja2", "rich", "click", "psutil",
    "ssl", "_ssl",  # the interpreter inside Triton may be unable to load it
)  # fmt: skip
MODULES = (
    "harness.run.worker.worker", "harness.backends.registry", "harness.load.generator",
    "harness.load.closed", "harness.measure.window", "harness.models.inputs",
    "harness.models.parity", "harness.backends.tensorrt.backend",
    "harness.backends.tensorrt.caller", "harness.backends.tensorrt.cache",
    "harness.profile.worker", "harness.inspect.profilers", "harness.inspect.worker",
)  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_a_tensorrt_worker_imports_only_what_it_needs(module: str) -> None:
    code = f"import sys\nfor n in {ABSENT!r}: sys.modules[n] = None\nimport {module}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
