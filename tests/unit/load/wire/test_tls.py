"""A TLS connection as the loop reads it, against Python's own server side."""

import contextlib
import socket
import ssl
import threading

import pytest
from support.certificates import make

from harness.errors import HarnessError
from harness.load.wire import tls as module
from harness.load.wire.tls import open_stream
from harness.system.network import Tls


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(certificates):
    """Address of a server that echoes one record and goes away without TLS's goodbye."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.cert, certificates.key)
    go = threading.Event()

    def serve(listener):
        sock, _ = listener.accept()
        with sock:
            try:
                secure = context.wrap_socket(sock, server_side=True)
            except (ssl.SSLError, OSError):
                return
            with contextlib.suppress(OSError):  # who asked may be gone
                secure.sendall(secure.recv(100).upper())
            go.wait(10)
            secure.detach()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"localhost:{listener.getsockname()[1]}", go
        go.set()
        thread.join(10)


def test_a_read_never_blocks_and_an_end_without_goodbye_is_an_end(server, certificates):
    import select

    address, go = server
    stream = open_stream(address, Tls(ca=str(certificates.ca)))
    buffer = bytearray(100)
    with pytest.raises(BlockingIOError):
        while stream.recv_into(buffer):  # session tickets may come first, and are no data
            pass
    assert stream.send(b"hello") == 5
    count = 0
    while not count:
        select.select([stream], [], [], 10)
        try:
            count = stream.recv_into(buffer)
        except BlockingIOError:
            continue
    assert bytes(buffer[:count]) == b"HELLO"
    go.set()
    with pytest.raises(BlockingIOError):
        stream.recv_into(buffer)
    stream.close()


def test_short_pieces_leave_together_and_a_long_one_by_itself(server, certificates):
    address, go = server
    stream = open_stream(address, Tls(ca=str(certificates.ca)), "h2")
    assert stream.sendmsg([b"he", memoryview(b"llo")]) == 5
    rest = stream.sendmsg([bytes(module.RECORD), b"behind"])
    assert rest == module.RECORD
    go.set()
    stream.close()


def test_a_certificate_of_nobody_we_know_is_refused(server):
    with pytest.raises(HarnessError):
        open_stream(server[0], Tls())


def test_without_tls_it_is_the_socket_itself(monkeypatch):
    plain = object()
    monkeypatch.setattr(module, "connect", lambda address: plain)
    assert open_stream("host:1", None) is plain
