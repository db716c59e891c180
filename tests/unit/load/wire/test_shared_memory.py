"""Messages for every pair of input and slot, and what lies in the slots afterwards."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.load.wire.shared_memory import READ, SharedLoad, messages_for
from harness.results.samples import Samples


class Regions:
    """Output regions that are named, and requests for them."""

    def slots(self, control, layout, count):
        return [f"{control}-{layout}-{i}" for i in range(count)]

    def wanted(self, region):
        return [region]


def test_all_slots_of_the_first_input_then_of_the_second():
    backend = SimpleNamespace(regions=Regions(), control="client")
    requests = [
        SimpleNamespace(inputs=[name], room=SimpleNamespace(layout="layout")) for name in "ab"
    ]
    assert messages_for(backend, requests, 2) == [
        (["a"], ["client-layout-0"]), (["a"], ["client-layout-1"]),
        (["b"], ["client-layout-0"]), (["b"], ["client-layout-1"]),
    ]  # fmt: skip


def test_a_backend_without_regions_has_no_such_messages():
    with pytest.raises(ValueError, match="no shared memory"):
        messages_for(
            SimpleNamespace(regions=None), [SimpleNamespace(room=SimpleNamespace(layout=0))], 2
        )


class Inner:
    """A generator whose slots sent these requests last."""

    failure = None

    def __init__(self, last):
        self.latest, self.log = last, []

    def last(self):
        return self.latest

    def start(self):
        self.log.append("start")

    def completed(self):
        return 7

    def recent_ns(self):
        return np.array([5])

    def stop(self, timeout):
        self.log.append(timeout)
        empty = np.empty(0, np.int64)
        return Samples(empty, empty, empty, empty.astype(np.uint8), empty.astype(np.uint16))


def region(value):
    def tensors(shapes):
        return {"y": np.full(shapes["y"], value, np.float32)}

    return SimpleNamespace(tensors=tensors)


def request(*shape):
    """A prepared one, whose output has this shape."""
    return SimpleNamespace(shapes={"y": shape})


def test_what_is_read_is_what_each_slot_was_answered_last():
    """Three slots: input 1 in slot 0, nothing in slot 1, input 0 in slot 2."""
    inner = Inner([1, -1, 0])
    target = SimpleNamespace(signature=None, short={})
    load = SharedLoad(inner, target, [region(i) for i in range(3)], [request(1, 2), request(5, 2)])
    load.start()
    assert (load.completed(), load.recent_ns().tolist(), load.failure) == (7, [5], None)
    assert len(load.stop(2.0)) == 0 and inner.log == ["start", 2.0]
    found = load.sampled()
    assert [which for which, _ in found] == [1, 0]
    assert [float(tensors["y"].max()) for _, tensors in found] == [0.0, 2.0]
    assert [tensors["y"].shape for _, tensors in found] == [(5, 2), (1, 2)]


def test_few_regions_are_read_however_many_slots_there_are():
    slots = 3 * READ
    load = SharedLoad(Inner([0] * slots), SimpleNamespace(short={}),
                      [region(i) for i in range(slots)], [request(1)])  # fmt: skip
    assert len(load.sampled()) == READ


def test_only_a_load_with_helpers_tells_of_their_cpu():
    plain = SharedLoad(Inner([]), SimpleNamespace(), [], [])
    assert not hasattr(plain, "cpu_seconds")
    inner = Inner([])
    inner.cpu_seconds = lambda: 1.5
    assert SharedLoad(inner, SimpleNamespace(), [], []).cpu_seconds() == 1.5
