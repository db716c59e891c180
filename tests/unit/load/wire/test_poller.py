import pytest

from harness.load.wire.poller import split


@pytest.mark.parametrize(
    ("address", "parts"), [("host:8000", ("host", 8000)), ("[::1]:80", ("::1", 80))]
)
def test_addresses(address, parts):
    assert split(address) == parts


@pytest.mark.parametrize("address", ["host", ":80", "host:http"])
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match="host:port"):
        split(address)
