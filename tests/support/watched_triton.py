"""A real Triton with two Python models, and a client that knows when its requests ended."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.triton.server.install import find
from harness.triton.server.ports import choose
from harness.triton.server.process import TritonServer

CONFIG = """
backend: "python"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 2 ] }
instance_group { count: 1 kind: KIND_CPU }
"""
MODEL = """
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        if any((x < -50).any() for x in xs):
            raise ValueError("too low")
        return [pb.InferenceResponse([pb.Tensor("y", x)]) for x in xs]
"""


def write(repository: Path, names: Sequence[str] = ("echo", "quiet")) -> Path:
    """The repository of the models."""
    for name in names:
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(CONFIG)
        (repository / name / "1" / "model.py").write_text(MODEL)
    return repository


@contextmanager
def served(repository: Path, ports: dict[str, int] | None = None) -> Iterator[TritonServer]:
    """A server with every model of the repository loaded."""
    log = repository.parent / "server.log"
    ports = ports or dict(choose({}))
    with TritonServer.start(find(), repository, log=log, prepared=True, ports=ports) as server:
        for path in sorted(repository.iterdir()):
            server.load(path.name)
        yield server


def send(address: str, due: Sequence[float], batch: int = 1, value: float = 1.0) -> list[int]:
    """Requests to `echo`, due so many seconds from now; monotonic ns at which each had ended."""
    from tritonclient import grpc
    from tritonclient.utils import InferenceServerException

    with grpc.InferenceServerClient(address) as client:
        given = grpc.InferInput("x", [batch, 2], "FP32")
        given.set_data_from_numpy(np.full((batch, 2), value, np.float32))
        began, ended = time.monotonic(), []
        for seconds in due:
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            try:
                client.infer("echo", [given])
            except InferenceServerException as error:
                assert "too low" in str(error)
            ended.append(time.monotonic_ns())
    return ended
