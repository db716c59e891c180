"""Whoever makes load has what the measurement asks for."""

import inspect

import pytest

from harness.load.closed import ClosedLoop
from harness.load.generator import Generator
from harness.load.open import OpenLoop
from harness.load.streams import StreamLoad
from harness.load.wire.loop import WireGenerator
from harness.load.wire.processes import WireProcesses
from harness.load.wire.shared_memory import SharedLoad

NEEDED = {
    name: inspect.signature(value)
    for name, value in vars(Generator).items()
    if inspect.isfunction(value) and not name.startswith("_")
}


KINDS = [ClosedLoop, OpenLoop, StreamLoad, WireGenerator, WireProcesses, SharedLoad]


@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_can_be_called_as_the_seam_says(kind):
    assert set(NEEDED) >= {"start", "stop", "completed", "recent_ns", "sampled"}
    for name, signature in NEEDED.items():
        has = inspect.signature(getattr(kind, name)).parameters
        assert list(has)[: len(signature.parameters)] == list(signature.parameters), name
        extra = list(has.values())[len(signature.parameters) :]
        assert all(p.default is not p.empty for p in extra), name
    assert hasattr(kind, "failure") or "failure" in inspect.getsource(kind.__init__)
