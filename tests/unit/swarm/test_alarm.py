"""The kernel's timer among greenlets."""

from __future__ import annotations

import time

import gevent

from harness.swarm.alarm import EARLY_NS, Alarm, until


def test_it_never_ends_early_and_the_others_go_on_meanwhile() -> None:
    alarm, beats = Alarm(), []

    def beat() -> None:
        while True:
            beats.append(time.monotonic_ns())
            gevent.sleep(0.001)

    other = gevent.spawn(beat)
    late = []
    for _ in range(200):
        moment = time.monotonic_ns() + 3_000_000
        alarm.wait(moment)
        alarm.wait(moment)  # which has come, less what it ends early
        until(moment)
        late.append(time.monotonic_ns() - moment)
        if len(beats) > 2:
            break
    alarm.close()
    other.kill()
    assert min(late) >= 0
    assert len(beats) > 2


def test_it_ends_closer_than_a_millisecond_at_its_best() -> None:
    """libev rounds up to whole milliseconds: of 0.3 ms, 0.7 are left whoever waits."""
    alarm, late = Alarm(), []
    for _ in range(40):
        moment = time.monotonic_ns() + EARLY_NS + 300_000
        alarm.wait(moment)
        late.append(time.monotonic_ns() - moment + EARLY_NS)
    alarm.close()
    assert 0 <= min(late) < 500_000


def test_who_looks_at_the_clock_lets_the_others_go_on() -> None:
    beats = []

    def beat() -> None:
        for _ in range(3):
            beats.append(time.monotonic_ns())
            gevent.sleep(0)

    other, moment = gevent.spawn(beat), time.monotonic_ns() + 50_000_000
    until(moment)
    assert time.monotonic_ns() >= moment
    assert len([b for b in beats if b < moment]) == 3
    other.join()
