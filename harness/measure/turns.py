"""Turns: a window that is cut into short stretches, between which something else was measured."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.load.plan import WindowSettings
from harness.measure.reduce import in_window
from harness.measure.window import Window
from harness.results.samples import Samples

Turn = tuple[Window, Samples]
LEAST_REQUESTS = 5
"""That finish in a turn, of each caller."""
WARM_SHARE = 0.1
"""Of a turn's length: what comes before it, in which caches are filled again."""
MOVED, MOVED_LEVEL = 0.05, 0.001
"""How far two backends' ratio may move within a window, and how sure it must be that it did."""
FEWEST_TURNS = 8
"""That say whether it moved."""


def turn_settings(
    planned: WindowSettings, seconds: float, callers: int, first: bool
) -> WindowSettings:
    """Of one turn: the first is warmed up as planned, the others until each caller had a reply."""
    turn = replace(
        planned,
        window=seconds,
        window_requests=min(planned.window_requests, LEAST_REQUESTS * callers),
    )
    if first:
        return turn
    return replace(turn, warmup=min(planned.warmup, WARM_SHARE * seconds), warmup_requests=callers)


def enough(planned: WindowSettings, turns: Sequence[Turn]) -> bool:
    """Whether turns are as long as the planned window, and have as many requests, or may not be
    longer.
    """
    seconds = math.fsum(window.seconds for window, _ in turns)
    return seconds >= planned.window_max or (
        seconds >= planned.window and requests(turns) >= planned.window_requests
    )


def requests(turns: Sequence[Turn]) -> int:
    """That finished in them."""
    return sum(int(in_window(s, w.begin_ns, w.end_ns).sum()) for w, s in turns)


def join(turns: Sequence[Turn], planned: WindowSettings) -> Turn:
    """The turns put one after another as one window, which ends where the last one did.

    What lies between turns is left out, so times are no longer those of the clock, but lengths are.
    A request counts where it finished; of those before the window only the first turn's are kept.
    """
    length = sum(window.end_ns - window.begin_ns for window, _ in turns)
    begin = at = turns[-1][0].end_ns - length
    parts: list[Samples] = []
    for number, (window, samples) in enumerate(turns):
        kept = samples.done <= window.end_ns
        if number:
            kept &= samples.done > window.begin_ns
        parts.append(_moved(samples, kept, at - window.begin_ns))
        at += window.end_ns - window.begin_ns
    last = turns[-1][0]
    joined = Window(
        begin, last.end_ns, requests(turns) < planned.window_requests, turns[0][0].before,
        _counted([window for window, _ in turns]), math.fsum(w.cpu_seconds for w, _ in turns),
        last.memory,
    )  # fmt: skip
    return joined, _concatenated(parts)


def _moved(samples: Samples, kept: NDArray[np.bool_], by_ns: int) -> Samples:
    found = {name: getattr(samples, name)[kept] for name in samples.columns}
    for name in {"scheduled", "sent", "done", "written", "woke"} & found.keys():
        found[name] = found[name] + by_ns
    return Samples(**found, messages=samples.messages)


def _concatenated(parts: Sequence[Samples]) -> Samples:
    messages = sum((Counter(part.messages) for part in parts), Counter[str]())
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].columns
    }
    return Samples(**columns, messages=messages)


def _counted(windows: Sequence[Window]) -> Mapping[str, float]:
    """What counters would say at the end, had they stood still between the turns."""
    return {
        name: value + math.fsum(w.after[name] - w.before[name] for w in windows)
        for name, value in windows[0].before.items()
    }


def ratio_moved(turns: Sequence[Turn], others: Sequence[Turn]) -> float | None:
    """By how much the ratio of two backends' latencies moved from the first half of their turns to
    the second, as a share; None where it did not.

    What the machine does falls on both, and is not in it. Welch's t-test of the logs of the mean
    latency over the other's, turn by turn.
    """
    logs = np.log([_mean(t) / _mean(o) for t, o in zip(turns, others, strict=False)])
    if len(logs) < FEWEST_TURNS:
        return None
    halves = np.array_split(logs, 2)
    shift = float(halves[1].mean() - halves[0].mean())
    variances = [float(h.var(ddof=1)) / len(h) for h in halves]
    error = math.sqrt(sum(variances))
    freedom = sum(variances) ** 2 / max(
        sum(v**2 / (len(h) - 1) for v, h in zip(variances, halves, strict=True)), 1e-300
    )
    p = float(2 * special.stdtr(max(freedom, 1.0), -abs(shift) / max(error, 1e-300)))
    return math.expm1(shift) if p < MOVED_LEVEL and abs(shift) > math.log1p(MOVED) else None


def _mean(turn: Turn) -> float:
    window, samples = turn
    inside = in_window(samples, window.begin_ns, window.end_ns)
    return float((samples.done - samples.sent)[inside].mean())
