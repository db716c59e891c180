import pytest

from harness.load.wire.transport import Transport


class Nothing(Transport):
    def open(self): ...
    def send(self, slot, request): ...
    def poll(self, seconds): ...
    def abandon(self, slot): ...
    def close(self): ...


def test_every_slot_begins_idle_and_unwanted():
    transport = Nothing([b"a", b"b"], 3)
    assert (transport.count, transport.sent, transport.wanted) == (2, [0] * 3, [False] * 3)
    assert transport.flush() is None


def test_a_load_without_requests_is_refused():
    with pytest.raises(ValueError, match="at least one request"):
        Nothing([], 3)


def test_a_transport_that_can_not_send_is_none():
    class Deaf(Nothing):
        send = Transport.send

    with pytest.raises(TypeError, match="send"):
        Deaf([b"a"], 1)
