import pytest

from harness.errors import ServerError
from harness.system.network import Access, Tls, split_address


@pytest.mark.parametrize(
    ("address", "parts"), [("host:8000", ("host", 8000)), ("[::1]:80", ("::1", 80))]
)
def test_addresses(address, parts):
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["host", ":80", "host:http"])
def test_what_is_no_address(address):
    with pytest.raises(ServerError, match="localhost:8000"):
        split_address(address)


def test_headers_are_secret_and_grpcs_have_small_letters():
    access = Access(Tls(), (("X-Key", "Secret"),))
    assert access.metadata == (("x-key", "Secret"),) and access.scheme == "https"
    assert "Secret" not in repr(access) and Access().scheme == "http"
