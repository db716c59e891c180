"""From a run of many rounds to a calibration: every valid point compared with itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.analysis.comparison import MARGINS, SelfTest, primary_values, self_test
from harness.analysis.summary import SummaryRow

COMPARISONS = 500
"""Random splits a point."""
FEWEST_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the comparison rule makes of a machine that is compared with itself."""

    tests: tuple[SelfTest, ...]
    left_out: tuple[str, ...]
    """Points that are invalid or were not measured in enough rounds."""

    @property
    def rounds(self) -> int:
        """Rounds a side, at most."""
        return max((t.rounds for t in self.tests), default=0)

    @property
    def comparisons(self) -> int:
        """All comparisons."""
        return sum(t.comparisons for t in self.tests)

    @property
    def false_alarms(self) -> int:
        """Comparisons in which some metric was called a regression or an improvement."""
        return sum(t.any_false_alarm for t in self.tests)

    @property
    def detectable(self) -> dict[str, float]:
        """Metric → the smallest slowdown that is found at every point four times in five."""
        return {
            metric: max(found)
            for metric in MARGINS
            if (found := [t.detectable[metric] for t in self.tests if metric in t.detectable])
        }

    def to_json(self) -> dict[str, object]:
        """What is stored of it; infinities become `inf` when it is written."""
        return {
            "rounds": self.rounds, "comparisons": self.comparisons,
            "false_alarms": self.false_alarms, "detectable": self.detectable,
            "points": [asdict(t) for t in self.tests], "left_out": list(self.left_out),
        }  # fmt: skip


def calibrate(rows: Sequence[SummaryRow], *, seed: int = 0) -> Calibration:
    """Compare each point with itself; the rates that a capacity search tried take no part."""
    tests: list[SelfTest] = []
    left_out: list[str] = []
    for row in rows:
        if row.searched:
            continue
        values = primary_values(row.measurements)
        if not row.valid or row.rounds < FEWEST_ROUNDS or not values:
            left_out.append(row.point)
        else:
            tests.append(self_test(row.point, values, count=COMPARISONS, seed=seed))
    return Calibration(tuple(tests), tuple(left_out))


def detectable_text(share: float | str) -> str:
    """`2.9 %`, or `none` where so few rounds can't show any; takes what the file holds."""
    value = float(share)
    return f"{100 * value:.2g} %" if math.isfinite(value) else "none"


def false_alarm_text(found: Mapping[str, Any]) -> str:
    """The result in two sentences, for reports and the terminal; `found` as it is stored."""
    sizes = ", ".join(
        f"{metric} {detectable_text(share)}" for metric, share in found["detectable"].items()
    )
    return (
        f"On this machine an A/A test of {found['scenario']} ({found['rounds']} against "
        f"{found['rounds']} rounds, {str(found['created'])[:10]}) raised a false alarm in "
        f"{found['false_alarms']:,} of {found['comparisons']:,} comparisons; smallest detectable "
        f"effect: {sizes}."
    )
