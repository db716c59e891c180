"""The rules: each fires on what breaks it and keeps quiet otherwise."""

import numpy as np
import pytest

from harness.measure.steady import Steadiness
from harness.measure.transient import Leak
from harness.measure.validity import (
    FLAGS,
    INVALIDATES,
    check_cache,
    check_client,
    check_little,
    check_schedule,
    check_steady,
    check_warm_up,
    open_requests,
)
from harness.results.samples import ERROR, OK, SHED, UNFINISHED, Samples

MS = 1_000_000


def make(
    scheduled: list[int], sent: list[int], done: list[int], status: list[int] | None = None,
    callers: list[int] | None = None,
) -> Samples:  # fmt: skip
    """Each request has a slot of its own, unless `callers` say which."""
    n = len(sent)
    return Samples(
        np.array(scheduled, np.int64), np.array(sent, np.int64), np.array(done, np.int64),
        np.array(status or [OK] * n, np.uint8), np.array(callers or range(n), np.uint16),
    )  # fmt: skip


def back_to_back(callers: int, count: int, service: int) -> Samples:
    sent = sorted(i * service for i in range(count) for _ in range(callers))
    return make(sent, sent, [s + service for s in sent])


@pytest.mark.parametrize("callers", [1, 3])
def test_littles_law_holds_for_a_closed_loop(callers: int) -> None:
    samples = back_to_back(callers, 1000, MS)
    ends = 100 * MS, 900 * MS
    inside = (samples.done > ends[0]) & (samples.done <= ends[1])
    rate = inside.sum() / (ends[1] - ends[0])
    assert open_requests(samples, *ends) == pytest.approx(callers)
    assert rate * (samples.done - samples.sent)[inside].mean() == pytest.approx(callers)
    assert list(check_little(samples, *ends, callers)) == []


@pytest.mark.parametrize(("pause", "flagged"), [(0.05, False), (0.2, True)])
def test_a_generator_that_takes_its_time_breaks_littles_law(pause: float, flagged: bool) -> None:
    sent = [round(i * MS * (1 + pause)) for i in range(1000)]
    samples = make(sent, sent, [s + MS for s in sent])
    found = list(check_little(samples, 100 * MS, 900 * MS, 1))
    assert [f.flag for f in found] == ["littles_law"] * flagged
    if flagged:
        assert "0.833 requests open on average" in found[0].seen
        assert "17 % of the time" in found[0].seen
    assert list(check_little(samples, 100 * MS, 900 * MS, None)) == []  # an open loop


@pytest.mark.parametrize("callers", [4, 16])
def test_of_many_callers_as_large_a_share_may_be_missing(callers: int) -> None:
    def check(pause: float) -> list[str]:
        sent = sorted(round(i * MS * (1 + pause)) for i in range(1000) for _ in range(callers))
        samples = make(sent, sent, [s + MS for s in sent])
        return [found.seen for found in check_little(samples, 100 * MS, 900 * MS, callers)]

    assert check(0.05) == []
    (seen,) = check(0.2)
    assert "17 % of the time" in seen


def test_a_request_outside_the_window_is_not_open_in_it() -> None:
    samples = make([0, 0, 20], [0, 0, 20], [4, 14, 30])
    assert open_requests(samples, 10, 20) == 0.4  # of the second alone, 4 of 10


def test_where_callers_pause_after_failures_nothing_is_said() -> None:
    sent = [i * 2 * MS for i in range(500)]
    samples = make(sent, sent, [s + MS for s in sent], [ERROR, *[OK] * 499])
    assert list(check_little(samples, 100 * MS, 900 * MS, 1)) == []


def test_a_schedule_kept_raises_nothing() -> None:
    due = [i * MS for i in range(1000)]
    samples = make(due, [d + 1000 for d in due], [d + MS for d in due])
    assert list(check_schedule(samples, 0, 1000 * MS)) == []


def test_late_requests_are_client_late() -> None:
    due = [i * MS for i in range(1000)]
    sent = [d + (3 * MS if i % 20 == 0 else 0) for i, d in enumerate(due)]
    samples = make(due, sent, [s + MS for s in sent])
    (found,) = check_schedule(samples, 0, 1000 * MS)
    assert found.flag == "client_late"
    assert "3.00 ms late (allowed: 1.00 ms)" in found.seen


def test_slip_may_be_a_twentieth_of_a_long_service_time() -> None:
    due = [i * MS for i in range(1000)]
    samples = make(due, [d + 3 * MS for d in due], [d + 103 * MS for d in due])
    assert list(check_schedule(samples, 0, 1000 * MS)) == []


def test_requests_never_sent_in_the_window_are_missed() -> None:
    due = [i * MS for i in range(1000)]
    sent = [d if i < 900 else d + 5000 * MS for i, d in enumerate(due)]
    samples = make(due, sent, [s + MS for s in sent])
    flags = [f.flag for f in check_schedule(samples, -1, 999 * MS)]
    assert flags[0] == "client_not_sending"


def test_only_what_was_due_in_the_window_is_judged() -> None:
    """Lateness and long services before it and after it are not the window's."""
    due = [i * MS for i in range(3000)]
    inside = [1000 <= i < 2000 for i in range(3000)]
    sent = [d if here else d + 50 * MS for d, here in zip(due, inside, strict=True)]
    samples = make(due, sent, [s + MS for s in sent])
    window = 1000 * MS - 1, 1999 * MS
    assert list(check_schedule(samples, *window)) == []
    before = [found.flag for found in check_schedule(samples, -1, 999 * MS)]
    assert before == ["client_not_sending", "client_late"]


def test_the_service_time_is_that_of_answered_requests() -> None:
    """Failures that took 200 ms don't allow a slip of 10 ms."""
    due = [i * MS for i in range(1000)]
    failed = [i % 2 == 1 for i in range(1000)]
    done = [d + 3 * MS + (200 if bad else 1) * MS for d, bad in zip(due, failed, strict=True)]
    status = [ERROR if bad else OK for bad in failed]
    (late,) = check_schedule(make(due, [d + 3 * MS for d in due], done, status), -1, 999 * MS)
    assert "3.00 ms late (allowed: 1.00 ms)" in late.seen


def behind_a_stall(slots: int, lateness: int) -> Samples:
    """One request a millisecond, answered in half of one; nothing from 400 to 700 ms. Each slot
    sends its next request `lateness` after it was free.
    """
    free, rows = [0] * slots, []
    for moment in (i * MS for i in range(1000)):
        slot = min(range(slots), key=free.__getitem__)
        sent = max(moment, free[slot]) + lateness
        begins = 700 * MS if 400 * MS <= sent < 700 * MS else sent
        free[slot] = begins + MS // 2
        rows.append((moment, sent, free[slot], OK, slot))
    return make(*map(list, zip(*rows, strict=True)))


def test_waiting_for_a_slot_is_the_servers_delay() -> None:
    """With 100 slots, 200 requests of a stall wait until it is over, 200 ms and less."""
    assert (np.diff(np.sort(behind_a_stall(100, 0).scheduled)) == MS).all()
    (found,) = check_schedule(behind_a_stall(100, 0), -1, 999 * MS)
    assert found.flag == "slots_full" and found.flag not in INVALIDATES
    assert "of 1000 requests waited" in found.seen
    assert list(check_schedule(behind_a_stall(400, 0), -1, 999 * MS)) == []


def test_lateness_with_a_free_slot_stays_the_clients_within_a_stall_too() -> None:
    flags = [f.flag for f in check_schedule(behind_a_stall(100, 2 * MS), -1, 999 * MS)]
    assert flags[0] == "client_late"


def test_what_a_full_server_kept_from_being_sent_is_not_missed() -> None:
    """Ten slots that a server never frees within the window."""
    due = [i * MS for i in range(100)]
    sent = [d if i < 10 else 5000 * MS for i, d in enumerate(due)]
    status = [UNFINISHED if i >= 50 else OK for i in range(100)]
    slots = [i % 10 for i in range(100)]
    done = [4999 * MS if i < 10 else 5001 * MS for i in range(100)]
    samples = make(due, sent, done, status, slots)
    assert [f.flag for f in check_schedule(samples, -1, 99 * MS)] == ["slots_full"]


def test_shed_requests_were_offered_and_are_no_fault_of_the_client() -> None:
    due = [i * MS for i in range(100)]
    status = [SHED if i % 2 else OK for i in range(100)]
    assert list(check_schedule(make(due, due, [d + MS for d in due], status), -1, 99 * MS)) == []


def test_a_busy_client_or_one_near_its_ceiling_is_named() -> None:
    assert list(check_client(79.0, 400.0, 1000.0)) == []
    assert [f.flag for f in check_client(81.0, 501.0, 1000.0)] == [
        "client_busy",
        "client_near_ceiling",
    ]
    assert list(check_client(None, 1e9, None)) == []


def test_unsteady_windows_say_how() -> None:
    assert list(check_steady(Steadiness(0, False, 0.01, 0.001))) == []
    (bound,) = check_steady(Steadiness(500, True, 0.0, 0.1))
    assert bound.flag == "no_steady_state"
    assert "half of the window" in bound.seen
    (shift,) = check_steady(Steadiness(0, False, -0.05, 0.001))
    assert shift.flag == "no_steady_state"
    assert "-5.0 %" in shift.seen


def test_a_leaked_warm_up_says_what_was_seen() -> None:
    assert list(check_warm_up(None)) == []
    (found,) = check_warm_up(Leak(0.05, 0.5))
    assert found.flag == "warm_up_leak"
    assert found.seen.startswith("the first 5 % of the window were 50 % slower")
    assert "warm_up_leak" in INVALIDATES


def test_answers_from_a_cache_are_no_measurement_of_the_model() -> None:
    assert list(check_cache({"the model": (0.0, 0.0), "part": (1.0, 100.0)}, ranked=False)) == []
    (found,) = check_cache({"the model": (0.0, 100.0), "part": (50.0, 100.0)}, ranked=False)
    assert found.flag == "from_cache" and found.flag in INVALIDATES
    assert found.seen == "50% of the requests to part (50 of 100)"
    (wanted,) = check_cache({"the model": (2.0, 100.0)}, ranked=True)
    assert wanted.flag == "cache_hits" and wanted.flag not in INVALIDATES


def test_every_flag_has_words() -> None:
    assert set(FLAGS) >= INVALIDATES
    assert all(" " in flag.words for flag in FLAGS.values())
