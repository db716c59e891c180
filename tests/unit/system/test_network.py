"""Addresses, and how a server wants to be talked to."""

import pytest

from harness.errors import ServerError
from harness.system.network import PLAIN, Access, Tls, is_loopback, split_address


@pytest.mark.parametrize(("address", "host", "port"), [
    ("localhost:8000", "localhost", 8000), ("[::1]:8001", "::1", 8001),
    ("10.0.0.1:1", "10.0.0.1", 1),
])  # fmt: skip
def test_an_address_is_a_host_and_a_port(address, host, port):
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("address", ["localhost", ":8000", "localhost:", "localhost:http", ""])
def test_what_is_no_address_is_named(address):
    with pytest.raises(ServerError, match=f"'{address}' is not an address like localhost:8000"):
        split_address(address)


def test_encryption_decides_the_scheme_and_grpc_names_are_small():
    assert (PLAIN.scheme, PLAIN.metadata) == ("http", ())
    access = Access(Tls(), (("Authorization", "Bearer x"),))
    assert (access.scheme, access.metadata) == ("https", (("authorization", "Bearer x"),))


def test_headers_are_secret():
    assert "Bearer" not in repr(Access(None, (("Authorization", "Bearer x"),)))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
     ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False),
     ("fe80::1%eth0", False), ("::ffff:10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_who_is_on_this_machine(host, loopback):
    assert is_loopback(host) == loopback
