"""What the embedded server can't do with strings is said before its process ends at one."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ModelRefusedError
from harness.models.tensors import TensorSpec
from harness.triton.client.settings import TritonSettings
from harness.triton.server.strings import check_strings

PYTHON, NATIVE = 'name: "m"\nbackend: "python"\n', 'platform: "onnxruntime_onnx"\n'
TEXT = TensorSpec("text", "string", ("batch", 2))
NUMBER = TensorSpec("x", "float32", ("batch", 2))


def spec(**server: Any) -> TritonSettings:
    return TritonSettings.model_validate({"kind": "triton", "protocol": "grpc", "server": server})


def test_strings_into_its_python_backend_under_numpy_2_are_refused_in_words() -> None:
    with pytest.raises(ModelRefusedError, match=r"can't take strings \(text\) with numpy 2"):
        check_strings(spec(), PYTHON, [NUMBER, TEXT], "2.3.1")


@pytest.mark.parametrize(
    ("server", "config", "inputs", "numpy"),
    [
        ({}, PYTHON, [NUMBER], "2.3.1"),
        ({}, PYTHON, [TEXT], "1.26.4"),
        ({}, NATIVE, [TEXT], "2.3.1"),
        ({"url": "h:1"}, PYTHON, [TEXT], "2.3.1"),  # nobody knows its numpy
        ({"docker": {"image": "triton:24.11"}}, PYTHON, [TEXT], "2.3.1"),
        ({"binary": "/opt/tritonserver"}, PYTHON, [TEXT], "2.3.1"),
    ],
)
def test_what_may_work_is_tried(
    server: dict[str, Any], config: str, inputs: list[TensorSpec], numpy: str
) -> None:
    check_strings(spec(**server), config, inputs, numpy)
