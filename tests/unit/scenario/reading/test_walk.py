"""From pydantic's locations to paths, and from keys to where they belong."""

from __future__ import annotations

import pytest

from harness.backends.torch.settings import TorchSettings
from harness.scenario import kinds
from harness.scenario.reading.walk import follow, homes, words
from harness.scenario.spec.model import Input


@pytest.mark.parametrize(
    ("loc", "path"),
    [
        (("backends", 0, "torch", "precision"), ("backends", 0, "precision")),
        (("backends", 0, "torch", "torch"), ("backends", 0, "torch")),
        (("model", "inputs", 1, "data", "files", "files", 0),
         ("model", "inputs", 1, "data", "files", 0)),
        (("model", "inputs", 1, "data", "word"), ("model", "inputs", 1, "data")),
        (("model", "dynamic", "words"), ("model", "dynamic", "words")),
        (("model", "nothing", "below"), ("model", "nothing", "below")),
    ],
)  # fmt: skip
def test_tags_of_unions_are_left_out(
    loc: tuple[str | int, ...], path: tuple[str | int, ...]
) -> None:
    assert follow(loc).path == path


def test_the_type_and_the_model_at_a_place() -> None:
    place = follow(("backends", 0, "torch", "precision"))
    assert words(place.annotation)[:5] == ("fp32", "tf32", "fp16", "bf16", "fp64")
    assert place.parent is TorchSettings
    assert follow(("model", "inputs", 0, "name")).parent is Input


def test_kinds_and_homes() -> None:
    assert list(kinds.SETTINGS) == ["torch", "onnxruntime", "tensorrt", "triton", "fake"]
    assert homes("rounds") == ["measurement"]
    assert homes("files") == [
        "model.inputs.data", "backends.colocated.model.inputs.data",
        "sharing.tenants.model.inputs.data",
    ]  # fmt: skip
    assert homes("concurrency") == [
        "load", "sharing.replicas", "backends.colocated.load", "sharing.tenants.load",
    ]  # fmt: skip
    assert homes("nowhere") == []
