"""The load itself: who sends when. Closed loop or open loop over one transport, in one thread.

A slot is one place for a request in flight: a caller of the closed loop, or one of the
`max_outstanding` of the open loop. The transport (`WireHttp`, `WireGrpc`) moves bytes; it calls
`done` or `failed` for a slot when its response has been read.
"""

from __future__ import annotations

import gc
import heapq
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import cycle

from harness.errors import DeadlineError
from harness.load.wire.poller import TICK_S
from harness.load.wire.recorder import Recorder
from harness.load.wire.transport import Transport
from harness.models.tensors import Tensors
from harness.results.samples import SHED, TIMEOUT, UNFINISHED, Int64, Samples

ERROR_PAUSE_NS = 10_000_000
"""Wait of a caller after a failed request, so that a broken server is not asked in a hot loop."""
SPIN_NS = 200_000
"""An open loop sleeps until this long before a request is due, and polls without sleeping then."""
LONGEST_S = 0.9 * TICK_S
"""Its longest wait for a request that is due soon."""
CHECK_NS = 1_000_000_000
LEAD_NS = 50_000_000
"""From `start` to the first request: a window that is to hold it begins in between."""
CONNECT_NS = 25_000_000
"""So long before its begin a load connects."""
NEVER = 1 << 62
NEVER_SENT = "every slot was taken until the time-out after the end was over"
_clock = time.monotonic_ns


class WireGenerator:
    """A `harness.load.generator.Generator` over one transport.

    `schedule` holds absolute offsets from the start in ns (shape (requests,), ascending) for an
    open loop; without it each of the `slots` sends again as soon as it has its answer. With no
    slot free, a due request waits (its slip shows it) or, with `shed`, is dropped and counted.
    `order` is repeated over and over. `pinned`: each request has a message for each slot.
    """

    def __init__(
        self, transport: Transport, slots: int, request_timeout: float, *,
        schedule: Int64 | None = None, shed: bool = False, sample_every: int = 0,
        pinned: bool = False, order: Sequence[int] = (),
    ) -> None:  # fmt: skip
        if slots < 1 or slots > 0xFFFF:
            raise ValueError("needs 1 to 65535 slots")
        self.failure: BaseException | None = None
        self._transport = transport
        self._slots = slots
        self._timeout_ns = int(request_timeout * 1e9)
        self._due: list[int] | None = None if schedule is None else schedule.tolist()
        self._shed = shed
        self._messages = slots if pinned else 1  # of each request
        self._order = cycle(order or range(transport.count // self._messages))
        self._which = [0] * slots
        self._record = Recorder(sample_every, transport.poller)
        self._scheduled, self._serial = [0] * slots, [0] * slots
        self._started = 0  # requests begun
        self._next_kept = 0 if sample_every else -1
        self._open = 0
        self._paused: list[tuple[int, int]] = []
        self._free: deque[int] = deque(range(slots))
        self._going = True
        self._stopped_ns = 0
        self._next_due = 0
        self._gc = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="wire", daemon=True)
        transport.done, transport.failed, transport.keep = self._done, self._failed, self._keep

    def open(self) -> None:
        """Connect; `start` does it where it has not been done. Raises ServerDiedError.

        The garbage collector is off from here to `stop`: the loop makes no cycles, and a
        collection within a window would be measured as latency.
        """
        if self._ready.is_set():
            return
        self._gc = gc.isenabled()
        gc.collect()
        gc.disable()
        try:
            self._transport.open()
        except BaseException:
            if self._gc:
                gc.enable()
            self._transport.close()
            raise
        self._ready.set()

    def start(self, at_ns: int = 0) -> None:
        """Let requests flow, from `at_ns` of the monotonic clock (0: `LEAD_NS` from now)."""
        self.open()
        self._begin_at = at_ns or _clock() + LEAD_NS
        self._thread.start()

    def completed(self) -> int:
        """Requests that have finished so far."""
        return len(self._record.done)

    def recent_ns(self) -> Int64:
        """Latencies of the latest requests."""
        return self._record.recent()

    def sampled(self) -> Sequence[tuple[int, Tensors | bytes]]:
        """The kept responses with the index of the request that each answers."""
        return [(request, response) for _, request, response in self._record.kept]

    def last(self) -> list[int]:
        """For each slot the index of its last request, or -1 where that was not answered."""
        good, sent = self._record.latest(), self._transport.sent
        return [w if good.get(s) and not sent[s] else -1 for s, w in enumerate(self._which)]

    def stop(self, timeout: float) -> Samples:
        """Send what was due by now and nothing more, wait for what is open, close.

        Raises DeadlineError where that takes longer than `timeout` seconds, or `failure`.
        """
        self._stopped_ns = _clock()
        self._going = False
        self._thread.join(timeout)
        if self._gc:
            gc.enable()
        if self._thread.is_alive():
            raise DeadlineError(
                f"{self._open} request(s) still open {timeout:g} s after the window ended"
            )
        if self.failure is not None:
            raise self.failure
        return self._record.samples(self._timeout_ns)

    def _main(self) -> None:
        try:
            self.open()
            begin = self._begin_at = self._next_check = self._begin_at or _clock() + LEAD_NS
            _sleep_until(begin - CONNECT_NS)
            self._transport.connect()
            _sleep_until(begin)
            if self._due is None:
                self._closed_loop()
            else:
                self._open_loop(self._due)
        except BaseException as error:
            self.failure = error
        finally:
            self._transport.close()

    # ------------------------------------------------------------------------------ closed loop

    def _closed_loop(self) -> None:
        poll, wake = self._transport.poll, self._wake
        for slot in range(self._slots):
            self._begin(slot)
        self._transport.flush()
        while self._going or self._open:
            poll(wake() if self._paused else TICK_S)
            self._check(_clock())

    def _wake(self) -> float:
        """Let callers go on whose pause is over; seconds until the next one."""
        now = _clock()
        while self._paused and (self._paused[0][0] <= now or not self._going):
            _, slot = heapq.heappop(self._paused)
            if self._going:
                self._begin(slot)
        self._transport.flush()
        return min(TICK_S, max(0, self._paused[0][0] - now) / 1e9) if self._paused else TICK_S

    # -------------------------------------------------------------------------------- open loop

    def _open_loop(self, due: list[int]) -> None:
        begin, poll, flush = self._begin_at, self._transport.poll, self._transport.flush
        due = [begin + offset for offset in due] + [NEVER]
        while self._going and (self._next_due < len(due) - 1 or self._open):
            if due[self._next_due] <= (now := _clock()):
                self._dispatch(due, now)
                flush()
                now = _clock()
            blocked = not self._free and not self._shed
            ahead = math.inf if blocked else (due[self._next_due] - now - SPIN_NS) / 1e9
            # a wait of a whole tick may be a blocking read, which ends some milliseconds late
            poll(TICK_S if ahead > 2 * TICK_S else min(ahead, LONGEST_S))
            self._check(now)
        if not self._going:
            self._drain(due)

    def _dispatch(self, due: list[int], now: int) -> None:
        free, shed = self._free, self._shed
        while due[self._next_due] <= now and (free or shed):
            moment = due[self._next_due]
            self._next_due += 1
            if free:
                slot = free.popleft()
                self._scheduled[slot] = moment
                self._begin(slot)
            else:
                self._record.bad(moment, now, now, 0, SHED, "")

    def _drain(self, due: list[int]) -> None:
        """Send what was due by the stop, as slots become free, and wait for all of it.

        What has no answer when the time-out is over has failed: it was due for longer than that.
        """
        stopped = self._stopped_ns
        while (now := _clock()) < stopped + self._timeout_ns:
            self._dispatch(due, stopped)
            self._transport.flush()
            if not self._open:
                return
            self._transport.poll(min(TICK_S, (stopped + self._timeout_ns - now) / 1e9))
            self._check(now)
        self._expire(now, now)
        while due[self._next_due] <= stopped:
            self._record.bad(due[self._next_due], now, now, 0, UNFINISHED, NEVER_SENT)
            self._next_due += 1

    # ------------------------------------------------------------------------------ one request

    def _begin(self, slot: int) -> None:
        serial = self._started
        self._started = serial + 1
        self._which[slot] = which = next(self._order)
        if serial == self._next_kept:
            self._transport.wanted[slot] = True
            self._serial[slot] = serial
            self._next_kept = serial + self._record.every
        self._open += 1
        self._transport.send(slot, which if self._messages == 1 else which * self._slots + slot)

    def _done(self, slot: int, now: int) -> None:
        record, sent = self._record, self._transport.sent
        if self._due is not None:
            record.scheduled.append(self._scheduled[slot])
        record.sent.append(sent[slot])
        record.callers.append(slot)
        record.which.append(self._which[slot])
        record.stamp(self._transport.written, slot, now)
        record.done.append(now)
        sent[slot] = 0
        self._open -= 1
        if self._due is not None:
            self._free.append(slot)
        elif self._going:
            self._begin(slot)

    def _failed(self, slot: int, now: int, status: int, message: str) -> None:
        sent = self._transport.sent[slot] or now
        self._transport.sent[slot] = self._transport.written[slot] = 0
        self._transport.wanted[slot] = False
        self._open -= 1
        scheduled = self._scheduled[slot] if self._due is not None else None
        self._record.bad(scheduled, sent, now, slot, status, message, self._which[slot])
        if scheduled is None:
            heapq.heappush(self._paused, (now + ERROR_PAUSE_NS, slot))
        else:
            self._free.append(slot)

    def _keep(self, slot: int, response: bytes | Tensors) -> None:
        self._transport.wanted[slot] = False
        self._record.keep(self._serial[slot], self._which[slot], response)

    def _check(self, now: int) -> None:
        """Requests that have taken too long: a dozen looks in each time-out."""
        if now <= self._next_check:
            return
        self._next_check = now + min(CHECK_NS, self._timeout_ns // 12)
        self._expire(now, now - self._timeout_ns)

    def _expire(self, now: int, limit: int) -> None:
        for slot, sent in enumerate(self._transport.sent):
            if sent and sent < limit:
                self._transport.abandon(slot)
                self._failed(slot, now, TIMEOUT, f"no answer within {self._timeout_ns / 1e9:g} s")


def _sleep_until(moment: int) -> None:
    """To the microsecond, so that several processes go on together."""
    time.sleep(max(0, moment - SPIN_NS - _clock()) / 1e9)
    while _clock() < moment:
        pass
