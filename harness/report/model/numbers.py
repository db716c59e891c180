"""Numbers as text, with no more digits than their interval supports.

Digits follow the Particle Data Group's rule, applied to the half-width of the interval: it gets two
significant digits when they lie between 10 and 35, else one, and the value as many decimals as it.
Source: Review of Particle Physics, Introduction, section 5.3. Without an interval three significant
digits are shown.
"""

from __future__ import annotations

import math
from functools import lru_cache

from harness.analysis.intervals import Interval, t_quantile
from harness.measure.quantiles import FLOORS
from harness.scenario import metrics

PERCENTILE_NAMES = metrics.PERCENTILE_NAMES
NOT_AVAILABLE = "n/a"
BEYOND_TIMEOUT = "> timeout"
MB_PER_MIB = 2**20 / 1e6
_PLAIN_DIGITS, _MOST_DIGITS = 3, 6
_NO_RANGE, _USEFUL = math.log(1e5) / 2, math.log(10) / 2
"""Half-widths of the log: above the first the ends would only look like knowledge (two rounds that
differ, say); what a reader can use is at most the second, ends that are ten-fold apart."""
_MOST_ROUNDS = 30
_REMEMBERED = 2**15
"""Intervals whose text is kept: a page says each several times, in tables, charts and hovers."""


def exponent(value: float) -> int:
    """Power of ten of the first significant digit: 2 for 512, −1 for 0.2. `value` is not 0."""
    return math.floor(math.log10(abs(value)))


def decimals(interval: Interval) -> int:
    """Decimal places that the interval supports; negative ones round to tens, hundreds, …

    Two digits of the value are kept even where the interval is wider than the value.
    """
    value, low, high = interval.value, interval.low, interval.high
    if not math.isfinite(value) or value == 0:
        return 0
    place = exponent(value)
    most = _MOST_DIGITS - 1 - place
    if low is None or high is None:
        return _PLAIN_DIGITS - 1 - place
    half = (high - low) / 2
    if half <= 0:
        return min(most, _PLAIN_DIGITS - place)
    first = exponent(half)
    leading = half / 10.0**first
    return max(1 - place, min(most, -first + (1 if leading < 3.55 else 0)))


def fixed(value: float, places: int) -> str:
    """`value` rounded to `places` decimals (negative: tens …), with thousands separators."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{round(value, places):z,.{max(places, 0)}f}".replace("-", "−")


def significant(value: float, digits: int = _PLAIN_DIGITS) -> str:
    """`value` with so many significant digits, never rounding an integer part away."""
    if value == 0 or not math.isfinite(value):
        return fixed(value, 0)
    return fixed(value, max(0, digits - 1 - exponent(value)))


@lru_cache(_REMEMBERED)
def value_text(interval: Interval | None) -> str:
    """The value alone: `105.3`, `≥ 98.1`, `n/a`, `> timeout`."""
    if interval is None:
        return NOT_AVAILABLE
    if math.isinf(interval.value):
        return BEYOND_TIMEOUT
    if interval.low is None:
        return significant(interval.value)
    if interval.at_least:
        return f"≥ {significant(interval.low)}"
    return fixed(interval.value, decimals(interval))


@lru_cache(_REMEMBERED)
def range_text(interval: Interval | None) -> str:
    """The interval alone, `104.7–105.9` or `−5.3 to 2.1`; empty where there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    if (half := interval.half_width or 0.0) > _NO_RANGE:
        return _too_few_text(interval.rounds, half)
    if interval.high - interval.low > 2 * abs(interval.value):  # wider than the value itself
        ends = significant(interval.low, 2), significant(interval.high, 2)
    else:
        places = decimals(interval)
        ends = fixed(interval.low, places), fixed(interval.high, places)
    return (" to " if "−" in "".join(ends) else "–").join(ends)


def _too_few_text(rounds: int, half: float) -> str:
    """How many more rounds of the same scatter make a range of use; `half` is of the log's."""
    scatter = half * math.sqrt(rounds) / t_quantile(0.975, rounds - 1) if rounds > 1 else math.inf
    for n in range(rounds + 1, rounds + _MOST_ROUNDS):
        if t_quantile(0.975, n - 1) * scatter <= _USEFUL * math.sqrt(n):
            return f"a range needs ≥ {n - rounds} more rounds"
    return "rounds too far apart for a range"


def both_text(interval: Interval | None, unit: str = "") -> str:
    """`105.3 (104.7–105.9)`, or the value alone; with a unit `38% (35–41)`."""
    limits = range_text(interval)
    return value_text(interval) + unit + (f" ({limits})" if limits else "")


def spread_text(interval: Interval | None) -> str:
    """Half-width of the interval in percent, `±0.6%`; empty where there is no range."""
    half = interval.half_width if interval is not None else None
    return "" if half is None or half > _NO_RANGE else f"±{significant(100 * math.expm1(half), 2)}%"


def gain_percent(ratio: Interval, *, less: bool = False) -> Interval:
    """A ratio as percent more; with `less`, as percent less of what its reciprocal is of."""
    sign = -1 if less else 1
    low, high = (None if v is None else sign * 100 * (v**sign - 1) for v in (ratio.low, ratio.high))
    return Interval(sign * 100 * (ratio.value**sign - 1), low, high, ratio.rounds)


def mib_text(mib: float | None) -> str:
    """Memory in MiB without the unit, or `n/a`."""
    return NOT_AVAILABLE if mib is None else significant(mib)


def bytes_text(size: int | None) -> str:
    """Bytes as MiB (2^20), with one decimal; small files get three significant digits."""
    if size is None:
        return NOT_AVAILABLE
    mib = size / 2**20
    return fixed(mib, 1) if mib >= 10 else significant(mib)


def floor_text(percentile: str) -> str:
    """Why a percentile is n/a: `p99 needs 662 requests a round`."""
    return f"{PERCENTILE_NAMES[percentile]} needs {FLOORS[percentile]:,} requests a round"
