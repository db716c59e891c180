"""Flags: why a number can't be believed, or what a reader must know with it, in words."""

from __future__ import annotations

FLAGS: dict[str, str] = {
    "few_requests": "fewer requests finished than the percentiles need: some are n/a",
    "window_cut": "the window ended at its longest allowed length before enough requests finished",
    "errors": "some requests failed; percentiles count them as slower than everything else",
    "all_failed": "no request succeeded",
    "count_mismatch": "client and server disagree on the number of requests in the window",
    "foreign_load": "other processes used more than a tenth of the machine's CPU in the window",
    "parity": "outputs disagree with the reference; measured because the scenario says so",
}
"""Code → what it means, one sentence a newcomer understands. `failed_<reason>` is a failed round."""

INVALIDATES = frozenset({"all_failed", "parity"})
"""Flags that make a point INVALID: never ranked, never plotted as good, never used in a plan."""


def explain(flag: str) -> str:
    """The flag in words."""
    if flag.startswith("failed_"):
        return f"at least one round failed ({flag.removeprefix('failed_').replace('_', ' ')})"
    return FLAGS.get(flag, flag)
