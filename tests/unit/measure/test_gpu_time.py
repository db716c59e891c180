"""Where a request's time goes on the GPU, from counters that only grow."""

import pytest

from harness.backends.base import COUNT, COUNTERS
from harness.measure.gpu_time import launching, split


def counters(count, **ns):
    return {COUNT: count, **{name: ns[name] for name in COUNTERS}}


BEFORE = counters(10, h2d_ns=1e6, compute_ns=2e6, d2h_ns=3e6, enqueue_ns=4e6)
AFTER = counters(30, h2d_ns=1e6 + 20e3, compute_ns=2e6 + 40e3, d2h_ns=3e6 + 60e3,
                 enqueue_ns=4e6 + 80e3)  # fmt: skip


def test_means_are_of_what_was_timed_in_between():
    assert split(AFTER, BEFORE) == {
        "h2d_us": 1.0, "compute_us": 2.0, "d2h_us": 3.0, "enqueue_us": 4.0, "count": 20,
    }  # fmt: skip
    assert split(BEFORE, {}) == {
        "h2d_us": 100.0, "compute_us": 200.0, "d2h_us": 300.0, "enqueue_us": 400.0, "count": 10,
    }  # fmt: skip


@pytest.mark.parametrize(("after", "before"), [({}, {}), (BEFORE, BEFORE), (BEFORE, AFTER)])
def test_nothing_timed_is_nothing_known(after, before):
    assert split(after, before) is None


def test_launching_is_a_share_of_the_window() -> None:
    assert launching({"launching_ns": 9e9}, {"launching_ns": 8e9}, 2.0) == 0.5
    assert launching({}, {}, 2.0) is None
