"""Traffic as a trace: counts of an interval become arrival times that `load.trace` replays.

A server counts requests, it does not say when each came. So the times within an interval are drawn:
given their number, the arrivals of a Poisson process are independent and uniform in it (Kingman,
Poisson Processes, 1993, section 2.4). What is exact is the number in each interval; what is finer
than the interval (bursts, gaps) is not in the file, and the file says so.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Self

import numpy as np

from harness.errors import UsageError
from harness.monitor.rates import Interval
from harness.scenario.wording import counted
from harness.scenario.writing import flow
from harness.system.credentials import outward
from harness.triton.counters.statistics import difference

SEED = 0
_HEAD = """\
# Traffic of '{model}' on {server}, recorded by `harness monitor` from {since}.
# One arrival a line, in seconds; what follows a # is a comment. Replay it with
#   load: {replay}
# A server only counts: of an interval, the number of requests that ended in it is exact (those that
# failed included), the times within it are drawn, uniform (seed {seed}). A request counts when it
# ends, so later than it came by its latency. A replay begins with the first arrival.
"""


class Recorder:
    """Appends each interval as it ends, so that a monitor that is killed has lost none of it.

    A context manager: the file is new and begins with what it is. Raises UsageError for a file
    that is there, or can't be written.
    """

    def __init__(self, path: Path, model: str, server: str) -> None:
        self._path, self._model, self._server = path, model, server
        self._replay = flow({"trace": path.name})
        self._rng = np.random.default_rng(SEED)
        self._begin_ns: int | None = None
        self.requests, self.seconds = 0, 0.0
        self.unknown_s = 0.0
        """Of intervals whose counters can't be told: the server was away, or started again."""

    def add(self, interval: Interval) -> None:
        """One interval; those that follow must not lie before it."""
        if self._begin_ns is None:
            self._begin_ns = interval.begin.t_ns
        begin, end = (
            (reading.t_ns - self._begin_ns) / 1e9 for reading in (interval.begin, interval.end)
        )
        rates = interval.models.get(self._model)
        where = f"# {begin:.3f} s to {end:.3f} s: "
        self.seconds = end
        if rates is None:
            self.unknown_s += end - begin
            self._write(
                f"{where}not known, the server was away or started again; no arrival is written\n"
            )
            return
        times = np.sort(begin + (end - begin) * self._rng.random(rates.ended))
        self.requests += rates.ended
        failed = f", {rates.failures} of them failed" if rates.failures else ""
        lines = "".join(f"{t:.6f}\n" for t in times)
        self._write(
            f"{where}{rates.ended} requests{failed}{_batch(interval, self._model)}\n{lines}"
        )

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise _unwritable(self._path, error) from None

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("x", encoding="utf-8")
        except FileExistsError:
            raise UsageError(
                f"{self._path} is there already", fix="choose another name for --record"
            ) from None
        except OSError as error:
            raise _unwritable(self._path, error) from None
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        self._write(
            outward(
                _HEAD.format(model=self._model, server=self._server, since=since,
                             replay=self._replay, seed=SEED)
            )
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # each interval was written out, or its error raised
            self._file.close()

    @property
    def words(self) -> str:
        """What the file holds, in a sentence."""
        unknown = f", of which {self.unknown_s:.1f} s are not known" if self.unknown_s else ""
        text = f"{self._path}: {counted(self.requests, 'request')} in {self.seconds:.1f} s{unknown}"
        if not self.requests:
            return f"{text}; nothing that could be replayed"
        return f"{text}; replay: load: {self._replay}"


def _batch(interval: Interval, model: str) -> str:
    """The mean batch size of the requests, where it is not one: a replay has its own."""
    before, after = interval.begin.counters.get(model, {}), interval.end.counters[model]
    split = difference(after, before)
    if split is None or not split.count or split.inferences == split.count:
        return ""
    return f", {split.inferences / split.count:.2f} inferences a request"


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} can't be written: {error.strerror or error}")
