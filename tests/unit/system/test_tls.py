"""Client contexts from TLS settings; with certificates that openssl makes."""

import os
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from support.certificates import make

from harness.errors import ServerError
from harness.system.network import Tls
from harness.system.tls import _shown, grpc_credentials, ssl_context


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def address(files):
    """Of a server that shows the certificate for localhost."""
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_by_default_the_server_is_verified(files):
    context = ssl_context(Tls(ca=str(files.ca)))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    context = ssl_context(Tls(verify=False))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_a_certificate_that_can_not_be_used_is_named(files, tmp_path):
    with pytest.raises(ServerError, match="no-such-file") as caught:
        ssl_context(Tls(ca=str(tmp_path / "no-such-file")))
    assert "PEM files" in caught.value.fix
    with pytest.raises(ServerError, match="can't be used"):
        ssl_context(Tls(cert=str(files.client_cert), key=str(files.key)))  # of another


@pytest.mark.parametrize("read", [ssl_context, lambda tls: grpc_credentials("a:1", tls)])
def test_a_certificate_is_a_small_regular_file(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ServerError, match="pipe is a named pipe, not a regular file"):
        read(Tls(ca=str(tmp_path / "pipe")))
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ServerError, match="hole has 1,099,511,627,776 bytes"):
        read(Tls(ca=str(tmp_path / "hole")))


def test_the_certificate_that_is_shown_names_whom_it_is_for(address, files):
    pem, name = _shown(address)
    assert name == "localhost"
    assert ssl.PEM_cert_to_DER_cert(pem.decode()) == ssl.PEM_cert_to_DER_cert(
        files.cert.read_text()
    )


def test_nobody_there_is_a_server_error():
    with pytest.raises(ServerError, match=r"no TLS connection to 127\.0\.0\.1:1"):
        _shown("127.0.0.1:1")
