"""What the embedded server can't do with strings."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable

from harness.errors import ModelRefusedError
from harness.models.strings import STRING
from harness.models.tensors import TensorSpec
from harness.triton.client.settings import TritonSettings


def check_strings(
    spec: TritonSettings, config: str, inputs: Iterable[TensorSpec], numpy: str = ""
) -> None:
    """Raise ModelRefusedError where the embedded server's Python process would end at a string.

    `config` is the model's, as protobuf text; `numpy` the version that its process has, by default
    this one's. The stub of Triton 24.10 reads strings by numpy 1's structures; strings that go out
    are mended in `harness.triton.repository.templates.numpy2`.
    """
    server = spec.server
    if server.url is not None or server.docker is not None or server.binary is not None:
        return
    names = [tensor.name for tensor in inputs if tensor.dtype == STRING]
    major = int((numpy or importlib.metadata.version("numpy")).partition(".")[0])
    if names and major > 1 and 'backend: "python"' in config:
        raise ModelRefusedError(
            f"the embedded server's Python backend can't take strings ({', '.join(names)}) with "
            "numpy 2: its process ends when it reads one",
            fix="install numpy<2 beside the harness, or give a newer server: server: {docker: …} "
            "or {url: …}",
        )
