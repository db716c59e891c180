"""Measurement profiles: one word for a set of numbers, each of which can be overridden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT_PROFILE = "standard"

PROFILES: dict[str, dict[str, Any]] = {
    "quick": {
        "rounds": 3, "rounds_max": 3, "warmup": "500ms", "warmup_requests": 5, "window": "2s",
        "window_requests": 11, "window_max": "10s",
    },
    "standard": {
        "rounds": 5, "rounds_max": 15, "warmup": "2s", "warmup_requests": 20, "window": "10s",
        "window_requests": 662, "window_max": "60s",
    },
    "publish": {
        "rounds": 10, "rounds_max": 40, "warmup": "5s", "warmup_requests": 50, "window": "30s",
        "window_requests": 6636, "window_max": "300s",
    },
}  # fmt: skip
"""What a profile stands for. Request counts are the floors of p50, p99 and p99.9."""


def fill(data: Mapping[str, Any]) -> dict[str, Any]:
    """`measurement` as written, on top of its profile's numbers (standard's, if it is unknown)."""
    profile = data.get("profile", DEFAULT_PROFILE)
    known = profile if isinstance(profile, str) and profile in PROFILES else DEFAULT_PROFILE
    filled = {**PROFILES[known], **data}
    rounds = data.get("rounds")
    if "rounds_max" not in data and type(rounds) is int and 0 < rounds <= 1000:
        filled["rounds_max"] = rounds  # one number, written for both
    return filled
