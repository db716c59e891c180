"""PyTorch Profiler for real: its trace, as the reader wants it."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.inspect.recording import SUFFIX, floor_us, record
from harness.inspect.trace import kineto, read_events


def test_a_trace_has_the_requests_their_operators_and_memory(tmp_path: Path) -> None:
    module = torch.nn.Linear(64, 64).eval()
    x = torch.ones(8, 64)

    def request() -> object:
        with torch.inference_mode():
            return module(x)

    path = record(tmp_path / "t-b8", request, 4)
    assert (path.parent.name, path.name.endswith(SUFFIX)) == ("t-b8", True)
    trace = kineto(read_events(path))
    assert len(trace.requests) == 4
    inside = [o for o in trace.operators if any(r.begin <= o.begin < r.end for r in trace.requests)]
    assert [o.key for o in inside] == [("aten::linear", "[8, 64] [64, 64] [64]")] * 4
    assert sum(m.bytes >= 8 * 64 * 4 for m in trace.memory) >= 4


def test_dispatch_takes_some_time_and_leaves_no_file(tmp_path: Path) -> None:
    assert 0.01 < floor_us(tmp_path) < 10_000
    assert list(tmp_path.iterdir()) == []
