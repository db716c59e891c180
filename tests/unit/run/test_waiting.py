"""What is said of a wait that goes on."""

import threading

import pytest

from harness.run import waiting


def test_a_long_wait_is_told_once_with_its_end_and_its_key(monkeypatch):
    monkeypatch.setattr(waiting, "SAID_AFTER_S", 0.0)
    told, heard = [], threading.Event()
    with waiting.waiting(lambda status: (told.append(status.text), heard.set()), "m", 60.0, "a.b"):
        assert heard.wait(10.0)
    (text,) = told
    assert text.startswith("still waiting for m, until ")
    assert text.endswith(" at most (a.b)")


def timers():
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_a_short_one_is_not_told(error):
    told, before, mine = [], timers(), set()
    try:
        with waiting.waiting(told.append, "m", 60.0):
            mine = timers() - before
            if error is not None:
                raise error
    except (KeyboardInterrupt, ValueError):
        pass
    (timer,) = mine
    timer.join(10.0)
    assert not timer.is_alive(), "its thread ends with the wait"
    assert not told
