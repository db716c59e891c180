from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from harness.tenants import stress_programs
from harness.tenants.stress_programs import compute, copies_in, copies_out, launches, memory


@pytest.mark.parametrize("program", [compute, memory, copies_in, copies_out, launches])
def test_what_goes_in_comes_out_and_the_buffers_are_made_once(
    program: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stress_programs, "CPU_FLOATS", 1 << 10)
    monkeypatch.setattr(stress_programs, "COPIED", 1 << 10)
    found, x = program(), torch.arange(3.0).reshape(3, 1)
    assert not found.state_dict()
    with torch.inference_mode():
        assert torch.equal(found(x), x)
        (buffers,) = found._buffers_of.values()
        assert torch.equal(found(x), x)
    assert list(found._buffers_of.values()) == [buffers]


def test_they_do_their_work() -> None:
    a = torch.full((2, 2), 3.0)
    b = torch.zeros(2, 2)
    stress_programs._multiply([a, b])
    assert torch.equal(b, a @ a)
    stress_programs._copy([a, b])
    assert torch.equal(a, b)
    source, target = torch.ones(4), torch.zeros(4)
    stress_programs._transfer([source, target])
    assert torch.equal(target, source)
    counter = torch.zeros(1)
    stress_programs._launch([counter])
    assert counter.item() == stress_programs.LAUNCHES
