"""Real signals to this process."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.run.interruption import Interruption


@pytest.fixture(autouse=True)
def hangup() -> Iterator[None]:
    """SIGHUP as it is in a terminal; who runs the tests may have it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_is_an_interrupt_and_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with Interruption() as interruption:
        interruption.armed = True
        interruption.check()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert interruption.asked
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_what_is_interrupted_ends_early_and_nothing_is_raised() -> None:
    with Interruption() as interruption:
        with interruption.during():
            assert interruption.armed
        assert not interruption.early and not interruption.armed
        with pytest.raises(OSError, match="of its own"), interruption.during():
            raise OSError("of its own")
        assert not interruption.early
        with interruption.during():
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("it was not interrupted")
        assert interruption.early and not interruption.armed
        os.kill(os.getpid(), signal.SIGINT)  # only noted


def test_what_fails_because_of_an_interrupt_is_one() -> None:
    with Interruption() as interruption, interruption.during():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("the pipe was closed")
    assert interruption.early


def test_an_interrupt_that_was_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swallowing:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(1000):
                pass

    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    with Interruption() as interruption:
        interruption.armed = True
        Swallowing()  # "Exception ignored in": nobody hears of it
        assert ignored
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_an_import_is_not_interrupted_but_what_comes_after_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhole = True\n"
    )
    with Interruption() as interruption:
        interruption.armed = True
        module = importlib.import_module("interrupted_module")
        assert module.whole
        with pytest.raises(KeyboardInterrupt):
            interruption.check()


def test_a_second_signal_does_not_disturb_the_ending_but_a_second_ctrl_c_does() -> None:
    with Interruption() as interruption:
        interruption.armed = True
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruption() as interruption:
        interruption.armed = True
        os.kill(os.getpid(), signal.SIGHUP)
        assert not interruption.asked


def test_unarmed_it_only_notes() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.asked
        interruption.check()


def test_another_thread_leaves_signals_alone() -> None:
    before = [signal.getsignal(n) for n in ALL]
    seen: list[object] = []

    def work() -> None:
        with Interruption():
            seen.extend(signal.getsignal(n) for n in ALL)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == before
