"""A turn as a worker measures it: a window and its samples."""

from __future__ import annotations

import numpy as np

from harness.measure.turns import Turn
from harness.measure.window import Window
from harness.results.samples import OK, Samples

MS = 1_000_000


def turn(begin_ms: float, each_ms: float, length_ms: float = 100.0, warm: int = 3) -> Turn:
    """One caller's requests, back to back, some of them before the window and one after it."""
    begin, each = int(begin_ms * MS), int(each_ms * MS)
    number = warm + int(length_ms / each_ms) + 1
    sent = begin + np.arange(-warm, number - warm, dtype=np.int64) * each
    status = np.full(number, OK, np.uint8)
    samples = Samples(sent, sent, sent + each, status, np.zeros(number, np.uint16), {"boom": 1})
    counters = {"count": float(begin)}
    window = Window(
        begin, begin + int(length_ms * MS), False, counters, {"count": begin + 10.0}, 0.05
    )
    return window, samples
