"""A calibration in words; it is made by `harness.compare.effects`, from whole runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def detectable_text(share: float | str) -> str:
    """`2.9 %`; takes what the file holds."""
    value = float(share)
    return f"{100 * value:.2g} %" if value < 1 else "none below 100 %"


def calibration_text(found: Mapping[str, Any]) -> str:
    """The result in a few sentences, for reports and the terminal; `found` as it is stored."""
    spread = ", ".join(
        f"{m} {100 * s['round']:.2g} % and {100 * s['run']:.2g} %"
        for m, s in found["spread"].items()
    )
    drifts = ", ".join(f"{key} by {100 * d:+.2g} %" for key, d in found["drifts"].items())
    return (
        f"On this machine an A/A test of {found['scenario']} ({found['runs']} runs of "
        f"{found['rounds']} rounds, {str(found['created'])[:10]}) varied from round to round and "
        f"from run to run by {spread} (standard deviations). "
        f"{_design_text('First half against second half of a run', found['halves'])} "
        f"{_design_text('Run against run', found['between'])}"
        + (f" It drifts from one round of a run to the next: {drifts}." if drifts else "")
    )


def _design_text(name: str, design: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{m} {detectable_text(d)}" for m, d in design["detectable"].items())
    return (
        f"{name}: a false alarm in {design['false_alarms']:,} of {design['comparisons']:,} "
        f"comparisons, smallest effect found {sizes}."
    )
