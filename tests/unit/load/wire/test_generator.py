import numpy as np
import pytest

from harness.errors import SetupError
from harness.load.wire.generator import Plan, make, split


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
    assert [part.requests[0] for part in parts] == [b"\0", b"\2", b"\4"]
    assert all(sorted(part.requests) == sorted(plan().requests) for part in parts)


@pytest.mark.parametrize("address", ["https://host:8000", "grpcs://host:8001"])
def test_tls_is_refused_with_the_way_out(address):
    with pytest.raises(SetupError, match="client: tritonclient"):
        make(plan(address=address))


def test_a_generator_needs_requests_and_slots():
    with pytest.raises(ValueError, match="at least one request"):
        make(plan(requests=()))
    with pytest.raises(ValueError, match="slots"):
        make(plan(slots=0))
