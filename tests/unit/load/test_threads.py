"""Callers in threads: let go together, and the first failure ends it."""

import contextlib
import threading

import pytest

from harness.errors import BackendError, DeadlineError, ServerDiedError
from harness.load.threads import ThreadLoad, classify
from harness.results.samples import ERROR, TIMEOUT


class Callers:
    """A backend that counts its callers; opening number `broken` fails."""

    def __init__(self, broken=-1):
        self.open, self.broken = 0, broken

    @contextlib.contextmanager
    def caller(self):
        number, self.open = self.open, self.open + 1
        if number == self.broken:
            raise ServerDiedError("gone")
        yield number


class Load(ThreadLoad):
    """Each caller does `body(index, caller)` once."""

    def __init__(self, backend, count, body):
        super().__init__(backend, ["request"], count, 30.0)
        self._loop = body

    def _loop(self, index, caller):
        raise NotImplementedError


def test_no_body_begins_before_every_caller_is_open():
    backend, seen = Callers(), []
    load = Load(backend, 5, lambda i, caller: seen.append((i, backend.open)))
    load.start()
    load._finish(10)
    assert sorted(i for i, _ in seen) == list(range(5)) and {n for _, n in seen} == {5}


def test_a_caller_that_can_not_be_opened_stops_all():
    seen = []
    load = Load(Callers(broken=2), 3, lambda i, _: seen.append(i))
    with pytest.raises(ServerDiedError, match="gone"):
        load.start()
    assert seen == []


def test_what_a_body_raises_is_raised_at_the_end():
    def body(index, _):
        if index == 1:
            raise BackendError("broke")

    load = Load(Callers(), 2, body)
    load.start()
    with pytest.raises(BackendError, match="broke"):
        load._finish(10)


def test_a_body_that_hangs_is_counted():
    go = threading.Event()
    load = Load(Callers(), 3, lambda i, _: i and go.wait(10))
    load.start()
    with pytest.raises(DeadlineError, match=r"2 request\(s\) still open"):
        load._finish(0.05)
    go.set()
    load._finish(10)


@pytest.mark.parametrize(("error", "expected"), [
    (DeadlineError("late"), (TIMEOUT, "late")), (TimeoutError("t"), (TIMEOUT, "TimeoutError: t")),
    (BackendError("no"), (ERROR, "no")), (KeyError("k"), (ERROR, "KeyError: 'k'")),
])  # fmt: skip
def test_which_failures_are_time_outs(error, expected):
    assert classify(error) == expected


def test_a_message_is_cut_to_what_can_be_counted():
    assert len(classify(ValueError("x" * 2000))[1]) == 500
