"""The messages between a load and its helper processes."""

import json
import os
import threading

import pytest

from harness.errors import ServerDiedError
from harness.load.wire.helper import _errors_to, pack, receive


def test_messages_larger_than_the_pipe_arrive_whole_and_one_at_a_time():
    read, write = os.pipe()
    sent = [bytes(range(256)) * 4000, 123_456_789, ("plan", 1.5)]
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
])  # fmt: skip
def test_an_error_is_left_where_the_parent_looks(tmp_path, error, expected):
    with pytest.raises(SystemExit) as ended, _errors_to(tmp_path / "0.error"):
        raise error
    assert ended.value.code == 1
    assert json.loads((tmp_path / "0.error").read_text()) == expected
