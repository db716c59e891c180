import os
import socket

import pytest

from harness.errors import ServerError
from harness.triton.server.ports import (
    SERVICES,
    asked_in,
    check_free,
    check_loopback,
    choose,
    listeners,
    switched_off,
)


def test_chosen_ports_are_free_and_distinct():
    found = choose({})
    assert set(found) == set(SERVICES)
    assert len(set(found.values())) == 3
    check_free(found)


def test_asked_ports_are_kept():
    assert choose({"grpc": 12345})["grpc"] == 12345


@pytest.mark.parametrize(
    ("args", "ports"),
    [
        (["--http-port=8000", "--log-verbose=1"], {"http": 8000}),
        (["--grpc-port", "8001", "--metrics-port=8002"], {"grpc": 8001, "metrics": 8002}),
        (["--http-port"], {}),
        ([], {}),
    ],
)
def test_ports_in_arguments(args, ports):
    assert asked_in(args) == ports


def test_services_that_are_switched_off():
    assert switched_off(["--allow-metrics=False", "--allow-grpc", "0"]) == {"metrics", "grpc"}
    assert switched_off(["--allow-metrics=false", "--allow-metrics=true"]) == set()


def test_listening():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert ("127.0.0.1", port) not in listeners(os.getpid())
        listener.listen()
        assert ("127.0.0.1", port) in listeners(os.getpid())
    assert listeners(2**22 + 1) == set()


def test_a_listener_for_other_machines_is_an_error():
    check_loopback(os.getpid())
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        with pytest.raises(ServerError, match=rf"0\.0\.0\.0:{listener.getsockname()[1]}"):
            check_loopback(os.getpid())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_is_an_error_that_says_by_whom(host):
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} \(http\) is in use") as caught:
            check_free({"http": port})
        if os.geteuid() == 0:
            assert f"(pid {os.getpid()})" in caught.value.message
