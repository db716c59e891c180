"""Factories whose inputs are guessed and tried, and exported programs that say theirs."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.errors import UsageError
from harness.init.torch import examine_factory, examine_program
from harness.models.tensors import TensorSpec

MODULE = """
import torch
from torch import nn

class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(40, 6)
    def forward(self, input_ids, attention_mask):
        return self.table(input_ids).sum(1) * attention_mask.sum()

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(3, 2), nn.Linear(5, 2)
    def forward(self, left, right):
        return self.a(left) + self.b(right)

class Nothing(nn.Module):
    def forward(self, x, y):
        return x + y

def mlp(): return nn.Sequential(nn.Linear(7, 3), nn.ReLU())
def digits():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))
def sequences(): return nn.LSTM(5, 4, batch_first=True)
def half(): return mlp().half()
def brain(): return mlp().bfloat16()
def double(): return mlp().double()
def packed(dtype=torch.qint8):
    return torch.ao.quantization.quantize_dynamic(mlp().eval(), {nn.Linear}, dtype=dtype)
def packed_half(): return packed(torch.float16)
"""


@pytest.fixture
def base(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "front_models.py").write_text(textwrap.dedent(MODULE))
    yield tmp_path
    sys.modules.pop("front_models", None)


@pytest.mark.parametrize(
    ("factory", "inputs"),
    [
        ("mlp", [("input", "float32", ("batch", 7))]),
        ("digits", [("input", "float32", ("batch", 1, 28, 28))]),
        ("sequences", [("input", "float32", ("batch", "sequence", 5))]),
        ("Words", [("input_ids", "int64", ("batch", "sequence")),
                   ("attention_mask", "int64", ("batch", "sequence"))]),
    ],
)  # fmt: skip
def test_inputs_are_guessed_and_tried(
    base: Path, factory: str, inputs: list[tuple[object, ...]]
) -> None:
    found = examine_factory(f"front_models:{factory}", "m", base)
    assert [(s.name, s.dtype, s.shape) for s in found.specs] == inputs
    assert "forward runs" in found.notes[0]
    assert "guessed" in found.notes[0]


@pytest.mark.parametrize(
    ("factory", "precision", "packed"),
    [("mlp", "fp32", False), ("half", "fp16", False), ("brain", "bf16", False),
     ("double", "fp64", False), ("packed", "int8", True), ("packed_half", "fp16", True)],
)  # fmt: skip
def test_what_the_weights_are_in_is_found_and_said(
    base: Path, factory: str, precision: str, packed: bool
) -> None:
    found = examine_factory(f"front_models:{factory}", "m", base)
    assert (found.precision, found.packed) == (precision, packed)
    said = [note for note in found.notes if note.startswith(f"the weights are {precision}")]
    assert len(said) == (precision != "fp32")
    assert any("in fp32" in note for note in said) == (factory in ("half", "brain"))


def test_a_program_in_16_bits_is_one(tmp_path: Path) -> None:
    module = nn.Linear(4, 2).bfloat16()
    program = torch.export.export(module, (torch.zeros(3, 4, dtype=torch.bfloat16),))
    torch.export.save(program, tmp_path / "a.pt2")
    found = examine_program(tmp_path / "a.pt2", "a.pt2", "a")
    assert (found.precision, found.packed) == ("bf16", False)


def test_a_table_bounds_its_ids(base: Path) -> None:
    found = examine_factory("front_models:Words", "m", base)
    assert [i.holds for i in found.inputs] == [{"range": [0, 40]}, {"value": [1]}]


@pytest.mark.parametrize("factory", ["Two", "Nothing"])
def test_what_no_guess_fits_is_asked_for(base: Path, factory: str) -> None:
    with pytest.raises(UsageError, match=r"forward takes (left, right|x, y)") as caught:
        examine_factory(f"front_models:{factory}", "m", base)
    assert caught.value.fix is not None
    assert "--input" in caught.value.fix


def test_inputs_that_are_said_are_tried_too(base: Path) -> None:
    said = [
        TensorSpec("left", "float32", ("batch", 3)),
        TensorSpec("right", "float32", ("batch", 5)),
    ]
    found = examine_factory("front_models:Two", "m", base, said)
    assert found.specs == tuple(said)
    with pytest.raises(UsageError, match="the last try"):
        examine_factory("front_models:Two", "m", base, said[::-1][:1])


def export(path: Path, batch: bool, length: bool) -> Path:
    module = nn.Linear(4, 2)
    axes = {0: torch.export.Dim("items", max=64)} if batch else {}
    axes |= {1: torch.export.Dim("words", max=100)} if length else {}
    program = torch.export.export(
        module, (torch.zeros(3, 5, 4),), dynamic_shapes=(axes,) if axes else None
    )
    torch.export.save(program, path)
    return path


def test_a_program_says_what_it_takes(tmp_path: Path) -> None:
    found = examine_program(export(tmp_path / "a.pt2", batch=True, length=True), "a.pt2", "a")
    (spec,) = found.specs
    assert (spec.name, spec.dtype) == ("input", "float32")
    assert spec.shape[0] == "batch"
    assert spec.shape[2] == 4
    assert list(found.dynamic.values()) != [128]  # it was exported for at most 100
    assert max(found.dynamic.values()) <= 100
    assert found.max_batch == 64


def test_a_program_of_one_batch_size_keeps_it(tmp_path: Path) -> None:
    found = examine_program(export(tmp_path / "a.pt2", batch=False, length=False), "a.pt2", "a")
    assert found.batched is False or found.fixed_batch == 3
