"""The messages between a load and its helper processes."""

import json
import os
import pickle
import threading
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from harness.errors import ServerDiedError
from harness.load.wire.helper import _errors_told, dumps, loads, pack, receive
from harness.load.wire.plan import Order, Plan
from harness.system.network import Access, Tls


def test_messages_larger_than_the_pipe_arrive_whole_and_one_at_a_time():
    read, write = os.pipe()
    sent = [bytes(range(256)) * 4000, 123_456_789, ["plan", 1.5]]
    data = memoryview(b"".join(map(pack, sent)))

    def feed():
        at = 0
        while at < len(data):
            at += os.write(write, data[at:])
        os.close(write)

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert receive(read) == sent[0]
    assert receive(read) == sent[1]
    assert receive(read) == sent[2]
    with pytest.raises(EOFError):
        receive(read)
    feeder.join()
    os.close(read)


def test_a_plan_arrives_as_it_was(tmp_path):
    access = Access(Tls("ca.pem"), (("authorization", "secret"),))
    schedule = np.array([1, 2**40], np.int64)
    plan = Plan("grpc", "h:1", (b"\x00\xff", b""), 2, 1.5, None, pinned=True, access=access)
    order = Order(3, "/d", plan, (("secret", "${NAME}"),))
    index, folder, arrived, secrets = loads(dumps(order))
    assert dict(secrets) == {"secret": "${NAME}"}
    assert (index, folder, arrived) == (3, "/d", plan)
    scheduled = cast(Plan, loads(dumps(replace(plan, schedule=schedule))))
    assert scheduled.schedule is not None and scheduled.schedule.dtype == np.int64
    assert list(scheduled.schedule) == list(schedule)


def test_large_requests_are_sent_as_they_are_and_each_once():
    large = os.urandom(1_000_000)
    plan = Plan("http", "h:1", (large, b"small", large, large), 2, 1.5, None)
    message = dumps(plan)
    assert len(message) < len(large) + 1_000  # no base64, no second copy
    arrived = cast(Plan, loads(message))
    assert arrived == plan
    assert arrived.requests[0] is arrived.requests[2]


def test_a_pickle_is_no_message(tmp_path):
    class Writes:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    with pytest.raises(ValueError):
        loads(pickle.dumps(Writes()))
    assert not (tmp_path / "ran").exists()


def test_a_message_cut_off_is_the_end():
    read, write = os.pipe()
    os.write(write, pack("half")[:-1])
    os.close(write)
    with pytest.raises(EOFError):
        receive(read)
    os.close(read)


@pytest.mark.parametrize(("error", "expected"), [
    (ServerDiedError("gone", fix="start it"),
     {"reason": "server_died", "message": "gone", "fix": "start it"}),
    (ValueError("odd"), {"reason": "raised", "message": "ValueError: odd", "fix": None}),
    (MemoryError(), {"reason": "out_of_memory", "message": "out of host memory", "fix": None}),
])  # fmt: skip
def test_an_error_is_the_last_line_that_the_parent_reads(capfd, error, expected):
    with pytest.raises(SystemExit) as ended, _errors_told():
        raise error
    assert ended.value.code == 1
    assert json.loads(capfd.readouterr().out) == expected
