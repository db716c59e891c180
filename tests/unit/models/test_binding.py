"""How inputs go into forward: by its names, and never in another's place."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from harness.errors import UsageError  # noqa: E402
from harness.models.binding import bind, ways  # noqa: E402


class Mixed(nn.Module):
    def forward(self, a, extra=None, b=None):
        return {"sum": a + b, "pair": (a, [b]), "words": "none"}


class Tokens(nn.Module):
    def forward(self, tokens, attention_mask):
        return tokens - attention_mask


class OnlyWords(nn.Module):
    def forward(self, *, a, b):
        return a - b


class Anything(nn.Module):
    def forward(self, *args, **kwargs):
        return kwargs["a"] - kwargs["b"] if kwargs else args[0] - args[1]


class Batch(nn.Module):
    def forward(self, batch):
        return batch["a"] - batch["b"]


class Typed(nn.Module):
    def forward(self, batch: Mapping[str, torch.Tensor]) -> Any:
        return batch["x"]


class Starred(nn.Module):
    def forward(self, a, *rest):
        return a - rest[0]


ONE = torch.ones(1)
A, B = np.float32([[3]]), np.float32([[2]])


def called(module: nn.Module, a: str = "a", b: str = "b", way: str = "") -> float:
    """What comes of 3 and 2, given in the other order than forward has them."""
    (found,) = bind(module, [b, a], way)({a: A, b: B})
    return float(found)


def test_inputs_behind_one_that_has_no_data_go_in_by_keyword():
    model = bind(Mixed(), ["b", "a"])
    assert (model.positional, dict(model.keywords)) == (("a",), {"b": "b"})
    assert [float(t) for t in model({"a": A, "b": B})] == [5.0, 3.0, 2.0]


@pytest.mark.parametrize("module", [OnlyWords, Anything, Batch])
def test_keyword_only_arguments_free_keywords_and_dicts(module):
    way = "as a dict" if module is Batch else ""
    assert called(module(), way=way) == 1.0


def test_what_a_signature_leaves_open_is_told_by_calling():
    assert list(ways(Anything(), ["a", "b"])) == ["by name", "by position"]
    assert list(ways(Batch(), ["x"])) == ["by position", "as a dict"]
    assert list(ways(Batch(), ["a", "b"])) == ["as a dict"]
    assert list(ways(Typed(), ["x"])) == ["as a dict"]
    assert list(ways(Batch(), ["batch"])) == ["by name"]
    assert list(ways(Starred(), ["a", "more"])) == ["by position"]
    model = bind(Batch(), ["a", "b"], "as a dict")
    assert isinstance(model.own, Batch)


def test_one_input_goes_into_the_one_argument_under_any_name_and_that_is_said():
    found = bind(nn.Linear(1, 1), ["pixels"])
    assert found.positional == ("pixels",)
    assert found.note == "forward has no argument 'pixels': it goes in as 'input', the only one"
    assert not bind(nn.Linear(1, 1), ["input"]).note
    assert not bind(Batch(), ["a", "b"], "as a dict").note
    wrapped = nn.Linear(1, 1)
    wrapped.forward = functools.partial(wrapped.forward)
    assert "'input', the only one" in bind(wrapped, ["pixels"]).note


def test_any_number_of_arguments_get_the_inputs_as_written_and_that_is_said():
    assert bind(Starred(), ["a", "more"]).note.endswith("as written: a, more")


class Both(nn.Module):
    def forward(self, ids: torch.Tensor, mask: torch.Tensor):
        return ids - mask


@pytest.mark.parametrize("make", [
    torch.jit.script, lambda m: torch.jit.trace(m, (ONE, ONE)),
    lambda m: torch.jit.freeze(torch.jit.script(m.eval())),
])  # fmt: skip
def test_torchscript_has_the_names_of_its_arguments_too(make):
    module = make(Both())
    (found,) = bind(module, ["mask", "ids"])({"ids": A, "mask": B})
    assert float(found) == 1.0
    with pytest.raises(UsageError, match=r"no argument 'msk'; did you mean 'mask'\?"):
        bind(module, ["msk", "ids"])


@pytest.mark.parametrize(
    ("module", "names", "said"),
    [
        (Tokens, ["attention_msk", "tokens"],
         "no argument 'attention_msk'; did you mean 'attention_mask'?"),
        (Tokens, ["mask", "tokens"], "no argument 'mask'; did you mean 'attention_mask'?"),
        (Tokens, ["one", "two"], "no argument 'one'; forward of Tokens has no argument 'two'"),
        (Tokens, ["tokens"], "needs 'attention_mask', which no input gives"),
        (Mixed, ["x", "b"], "no argument 'x'"),
        (OnlyWords, ["c", "b"], "no argument 'c'; did you mean 'a'?"),
        (Starred, ["more", "a"], "no argument 'more'"),
    ],
)  # fmt: skip
def test_names_that_forward_does_not_have_are_refused_with_what_it_has(module, names, said):
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        bind(module(), names)
    assert "forward's arguments" in (caught.value.fix or "")
