"""Benchmark and stress-test harness for model inference on GPUs.

One declarative scenario compares eager PyTorch, ONNX Runtime, TensorRT and Triton over batch
and concurrency sweeps: with intervals over rounds, conditions, and flags on what can't be believed.

Importing this package imports nothing heavy: neither torch nor pandas nor plotly. It registers the
kinds of backend, as plain text.
"""

import importlib

__version__ = "0.1.0"

importlib.import_module("harness.backends.registry")  # by name: no folder depends on it by this
