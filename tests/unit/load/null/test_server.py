import pytest
from support.slow_server import Behaviour, Queue

from harness.errors import ServerDiedError, WorkerDiedError
from harness.load.null.peers import Answer
from harness.load.null.server import running
from harness.load.wire.sockets import connect


def leaves(behaviour, arrivals):
    queue = Queue(behaviour)
    return [queue.leaves(1000 + at) - 1000 for at in arrivals]


def test_a_serial_server_is_a_queue():
    assert leaves(Behaviour(10, serial=True), [0, 1, 2, 50]) == [10, 20, 30, 60]


def test_a_parallel_server_only_delays():
    assert leaves(Behaviour(10), [0, 1, 50]) == [10, 11, 60]


@pytest.mark.parametrize("serial", [False, True])
def test_a_stall_holds_what_is_being_served_and_what_comes(serial):
    behaviour = Behaviour(10, serial, stall_at=100, stall=1000)
    expected = [10, 1105, 1110, 1210] if not serial else [10, 1105, 1115, 1210]
    assert leaves(behaviour, [0, 95, 500, 1200]) == expected


def test_without_behaviour_the_answer_comes_at_once():
    answered = []
    Queue(Behaviour()).put(lambda: answered.append(1))
    assert answered == [1]


def test_it_listens_in_a_process_of_its_own_and_is_gone_afterwards():
    with running("http", 3) as address, connect(address) as client:
        client.settimeout(10)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert client.recv(1000).endswith(b"\r\n\r\n" + bytes(3))
        port = int(address.rpartition(":")[2])
        assert port > 0
    with pytest.raises(ServerDiedError):
        connect(address)


def test_what_is_to_be_answered_travels_with_what_of_it_is_json():
    with running("http", Answer(b'{"a":1}\xff\0', 7)) as address, connect(address) as client:
        client.settimeout(10)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        head, _, body = client.recv(1000).partition(b"\r\n\r\n")
    assert body == b'{"a":1}\xff\0' and b"\r\nInference-Header-Content-Length: 7" in head


def test_a_server_that_cannot_start_says_how_it_ended():
    ended = pytest.raises(WorkerDiedError, match="the null server exited with code 1")
    with ended, running("carrier pigeon", 3):
        pass
