import numpy as np
import pytest

from harness.errors import SetupError
from harness.load.wire.plan import Plan, make, split


def plan(**changes):
    values = {
        "protocol": "http",
        "address": "127.0.0.1:1",
        "requests": tuple(bytes([i]) for i in range(6)),
        "slots": 5,
        "request_timeout": 1.0,
    }
    return Plan(**{**values, **changes})


def test_slots_are_dealt_out_completely():
    assert [part.slots for part in split(plan(), 3)] == [2, 2, 1]
    assert [part.slots for part in split(plan(slots=2), 4)] == [1, 1]


def test_every_arrival_goes_to_exactly_one_process():
    schedule = np.arange(0, 1000, 7)
    parts = split(plan(schedule=schedule), 3)
    joined = np.concatenate([part.schedule for part in parts])
    assert sorted(joined) == schedule.tolist()
    assert all((np.diff(part.schedule) > 0).all() for part in parts)


def test_processes_start_at_different_requests():
    parts = split(plan(), 3)
    assert [part.order[0] for part in parts] == [0, 2, 4]
    assert all(part.requests == plan().requests for part in parts)
    turned = [part.order for part in split(plan(order=(0, 0, 1, 5)), 2)]
    assert turned == [(0, 0, 1, 5), (1, 5, 0, 0)]


def test_pinned_requests_stay_with_their_slots():
    """A request a pair of input and slot: two inputs, five slots."""
    requests = tuple(f"{i}{slot}".encode() for i in "ab" for slot in range(5))
    parts = split(plan(requests=requests, pinned=True), 2)
    assert [part.slots for part in parts] == [3, 2]
    assert parts[0].requests == (b"a0", b"a1", b"a2", b"b0", b"b1", b"b2")
    assert parts[1].requests == (b"a3", b"a4", b"b3", b"b4")
    assert [part.order for part in parts] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("address", ["https://host:8000", "grpcs://host:8001"])
def test_an_address_with_a_scheme_is_refused_with_the_way_out(address):
    with pytest.raises(SetupError) as caught:
        make(plan(address=address))
    assert "server: {tls: {}}" in str(caught.value.fix)


def test_a_generator_needs_requests_and_slots():
    with pytest.raises(ValueError, match="at least one request"):
        make(plan(requests=()))
    with pytest.raises(ValueError, match="slots"):
        make(plan(slots=0))
