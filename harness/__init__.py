"""Benchmark and stress-test harness for model inference on GPUs.

One declarative scenario compares eager PyTorch, ONNX Runtime, TensorRT and Triton over batch
and concurrency sweeps; every number carries its interval, its conditions and its flags.

Importing this package imports nothing heavy: neither torch nor pandas nor plotly.
"""

__version__ = "0.1.0"
