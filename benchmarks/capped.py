"""Sessions of the harness under a cap of memory, and the search for the least that works.

A session holds where it loads and answers a short load without an error: its speed is not judged,
so no window waits for the requests of a p99, and `harness run` is not begun for each.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Self, TypedDict

from harness.errors import HarnessError, LimitError
from harness.results.events import Event
from harness.run.session.preparing import prepare
from harness.run.session.session import Session
from harness.scenario.points import expand
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs
from harness.system.paths import cache_directory
from harness.telemetry.client import Telemetry

TRIAL_S = 60.0
"""A session under a cap that takes longer decides nothing."""


class Trial(TypedDict):
    """A session under a cap."""

    mib: int
    outcome: str
    """`holds`, `fails` or `undecided`."""
    why: str
    seconds: float
    cap: dict[str, object]
    """What was in force, and what its control saw."""


class UnansweredError(Exception):
    """Requests of the load had errors."""


class Sessions:
    """Of one scenario of one point; a context manager."""

    def __init__(
        self, scenario: Callable[[int | None], Scenario], base: Path, folder: Path
    ) -> None:
        """`scenario` has its backend under a cap of so many MiB, or under none; what it imports is
        found from `base`, and what is left of a session lies in `folder`.
        """
        self._scenario, self._base, self._folder = scenario, base, folder
        self._stack = contextlib.ExitStack()

    def tried(self, mib: int) -> Trial:
        """One more under a cap."""
        begin = time.monotonic()
        seen: dict[str, object] = {}
        outcome, why = "undecided", ""
        try:
            with _at_most(TRIAL_S):
                why = self._answers(mib, seen)
            outcome = "holds"
        except (LimitError, TimeoutError) as error:
            why = str(error)
        except HarnessError as error:
            outcome, why = "fails", f"{error.words} ({error})"
        except UnansweredError as error:
            outcome, why = "fails", str(error)
        return Trial(mib=mib, outcome=outcome, why=why, seconds=time.monotonic() - begin, cap=seen)

    def _answers(self, mib: int, seen: dict[str, object]) -> str:
        """A session under the cap: what it did, in words. Raises what went wrong."""
        scenario, stem = self._scenario(mib), f"{mib}mib-{time.monotonic_ns()}"
        (point,) = expand(scenario)
        session = Session(
            scenario, configs(scenario)[point.backend][point.config], self._prepared,
            base=self._base, logs=self._folder, stem=stem, cache=cache_directory(),
            telemetry=self._telemetry,
        )  # fmt: skip
        with session:
            session.open(point.batch_size, _unheard)
            (done,) = session.measure(point, 0, {"": self._folder / f"{stem}.npz"}, _unheard)
            seen |= session.limited.seen
        if done.messages:
            raise UnansweredError("; ".join(done.messages))
        if not seen:
            raise LimitError(f"the session under {mib} MiB has no record of its cap")
        return f"{(done.window.end_ns - done.window.begin_ns) / 1e9:.1f} s of load without an error"

    def __enter__(self) -> Self:
        self._prepared = prepare(
            self._scenario(None), base=self._base, logs=self._folder, cache=cache_directory()
        )
        telemetry = Telemetry(self._folder / ".raw", self._folder / "telemetry.log")
        self._telemetry = self._stack.enter_context(telemetry)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def search(
    predicted: int, request: int, holds: Callable[[int], bool], *, step: int, to: int
) -> int | None:
    """The least that held twice, to `to` MiB: the request is tried, then sizes from `predicted`
    outward, in steps that double, until one holds and one fails; what lies between is bisected.
    None where nothing held, at 4 times the request.
    """
    low, high = 0, request
    while not holds(high):
        if high >= 4 * request:
            return None
        low, high = high, high + max(step, request // 4)
    size = predicted - step
    while low == 0 and size > 0:
        if holds(size):
            high, step = size, 2 * step
            size -= step
        else:
            low = size
    while high - low > to:
        middle = predicted if low < predicted < high else (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    while not holds(high) and high < request:  # what held by chance does not stand
        high += to
    return high


def _unheard(_: Event) -> None:
    """Takes what a session tells of its progress."""


@contextlib.contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread where it takes longer."""

    def late(_: int, __: FrameType | None) -> None:
        raise TimeoutError(f"it took more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
