"""Sums of the parts of timed requests, and which requests are timed."""

from __future__ import annotations

import threading

import pytest

from harness.backends import timing
from harness.backends.timing import Timing


def test_sums_and_their_count() -> None:
    made = Timing()
    assert made.counters()["gpu_timed"] == 0
    made.add(1, 2, 3, 4)
    made.add(10, 20, 30, 40)
    assert made.counters() == {
        "h2d_ns": 11, "compute_ns": 22, "d2h_ns": 33, "enqueue_ns": 44, "gpu_timed": 2,
    }  # fmt: skip


def test_one_request_in_a_while_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Timing()
    monkeypatch.setattr(timing, "TIMED_EVERY_NS", 0)
    assert made.due()
    monkeypatch.setattr(timing, "TIMED_EVERY_NS", 10**15)
    assert not made.due()


def test_nothing_is_lost_between_threads() -> None:
    made = Timing()
    threads = [
        threading.Thread(target=lambda: [made.add(1, 1, 1, 1) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made.counters().values()) == {2000.0}
