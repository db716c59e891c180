"""Inputs and outputs of an engine, and requests, in host memory."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from support.host_backend import TRT, backend, batch
from support.host_cuda import HostCuda, HostEngine

from harness.backends.tensorrt.bindings import (
    Binding,
    bindings,
    borrow_request,
    decode,
    make_request,
)
from harness.errors import BackendError
from harness.models import bfloat16


@pytest.mark.parametrize(
    ("tensors", "words"),
    [({}, "wants an input 'x'"), ({"x": np.zeros((2, 5), np.float32)}, r"shape \[2, 5\]"),
     ({"x": np.zeros(4, np.float32)}, r"takes \[-1, 4\]")],
)  # fmt: skip
def test_inputs_that_do_not_fit(tensors: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(BackendError, match=words):
        backend(HostCuda()).prepare(tensors)


def test_bfloat16_is_decoded_to_float32() -> None:
    binding = Binding("b", "bfloat16", (-1,))
    data = bfloat16.to_bits(np.float32([2.0, 3.0])).view(np.uint8)
    assert decode(binding, data, (2,)).tolist() == [2.0, 3.0]


def test_inputs_and_outputs_keep_the_engines_order() -> None:
    inputs, outputs = bindings(TRT, HostEngine(HostCuda(), [(1, 8, 8)]))
    assert inputs == (Binding("x", "float32", (-1, 4)),)
    assert outputs == (Binding("sum", "float32", (-1,)),)
    assert (inputs[0].nbytes((3, 4)), outputs[0].nbytes((3,))) == (48, 12)
    assert Binding("b", "bfloat16", (2,)).nbytes((2,)) == 4


def test_a_type_that_can_not_be_fed_is_named() -> None:
    engine = HostEngine(HostCuda(), [(1, 8, 8)])
    engine.get_tensor_dtype = lambda name: SimpleNamespace(name="FP8")  # type: ignore[method-assign]
    with pytest.raises(BackendError, match="tensor x of the engine is FP8"):
        bindings(TRT, engine)


def test_a_request_gives_its_memory_back_and_a_borrowed_one_copies_nothing() -> None:
    cuda = HostCuda()
    inputs, _ = bindings(TRT, HostEngine(cuda, [(1, 8, 8)]))
    pinned = make_request(cuda, inputs, {"x": batch(2)}, on_device=False)
    assert (cuda.pins, len(cuda.live), pinned.addresses) == (1, 0, ())
    placed = make_request(cuda, inputs, {"x": batch(2)}, on_device=True)
    assert (cuda.pins, len(cuda.live), placed.buffers) == (1, 1, ())
    np.testing.assert_array_equal(cuda.live[placed.addresses[0]].view(np.float32), batch(2).ravel())
    del pinned, placed
    gc.collect()
    assert (cuda.pins, cuda.live, cuda.made) == (0, {}, 0)
    array = batch(3)
    borrowed = borrow_request(inputs, {"x": array})
    assert borrowed.shapes == ((3, 4),)
    assert np.shares_memory(borrowed.buffers[0], array)
