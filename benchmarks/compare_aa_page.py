"""The page of compare_aa: docs/benchmarks/compare-aa.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.analysis.intervals import t_quantile
from harness.scenario.wording import signed


def wilson(hits: int, n: int) -> str:
    """A share with its 95 % interval."""
    if not n:
        return "n/a"
    share, z = hits / n, 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return f"{hits} of {n} ({max(0.0, middle - half):.0%} to {min(1.0, middle + half):.0%})"


Row = Mapping[str, Any]
WOLF: Callable[[Row], bool] = lambda r: r["verdict"] in ("regression", "improvement")  # noqa: E731
NAMES = {
    "aa": "ONNX Runtime, A/A", "noisy": "noise and drift, A/A", "slower": "5 % slower",
}  # fmt: skip


def is_(verdict: str) -> Callable[[Row], bool]:
    """Whether a comparison ended so."""
    return lambda r: r["verdict"] == verdict


LINES: tuple[tuple[str, str, Callable[[Row], bool]], ...] = (
    *((k, f"{NAMES[k]}: **a regression or an improvement**", WOLF) for k in ("aa", "noisy")),
    ("slower", "5 % slower: **a regression**", is_("regression")),
    *((k, f"{name}: {v}", is_(v)) for k, name in NAMES.items()
      for v in ("equivalent", "inconclusive", "invalid")),
    *((k, f"{name}: the naive rule finds a change", lambda r: r["naive"])
      for k, name in NAMES.items()),
    ("layer", "a slow layer: **first in the table**", lambda r: r["first"] == "resize"),
    ("layer", "a slow layer: named", lambda r: r["first"] == "resize" and r["first_named"]),
    ("layer-aa", "layers of the same: **some layer is named**", lambda r: r["named"] > 0),
)  # fmt: skip


FINDS_5 = 0.05


def scatter_of(rows: Sequence[Row]) -> list[float]:
    """Standard deviation of the log of a block's p50 ratio, of each comparison with an interval."""
    logs = [
        (r["blocks"], np.log1p(r["change"]["p50"]))
        for r in rows if r["blocks"] > 1 and "p50" in r["change"]
    ]  # fmt: skip
    return [float(high - low) / 2 * n**0.5 / t_quantile(0.975, n - 1) for n, (_, low, high) in logs]


def took(name: str, rows: Sequence[Row]) -> str:
    """A line on what comparisons took, how much a block's ratio varied, and what was measured."""
    if not (judged := [r for r in rows if r["blocks"] > 1 and "p50" in r["change"]]):
        return f"| {name} | {len(rows)} | n/a | n/a | n/a | n/a |"
    changes = [float(np.log1p(r["change"]["p50"][0])) for r in judged]
    return (
        f"| {name} | {len(rows)} | {statistics.fmean(r['blocks'] for r in judged):.1f} | "
        f"{statistics.fmean(r['seconds'] for r in rows) / 60:.1f} | "
        f"{100 * statistics.median(scatter_of(rows)):.1f} % | "
        f"{signed(100 * statistics.fmean(changes), '.1f')} % |"
    )


def _line(what: str, hit: Callable[[Row], bool], rows: Sequence[Row]) -> str:
    """A row of the table; without those of which what is counted was not kept."""
    known = [r for r in rows if "naive" in r or "naive" not in what]
    return f"| {what} | {wilson(sum(map(hit, known)), len(known))} |"


def noisy_place(rows: Sequence[Row]) -> str:
    """Says so where the scatter was such that no rule finds a slow-down of 5 %."""
    found = scatter_of(rows)
    if not found or (middle := statistics.median(found)) < FINDS_5:
        return ""
    return f"""
**Where this was measured a block's p50 ratio varied by {100 * middle:.0f} %.** The rule finds a
slow-down of 5 % where it varies by a few percent ([simulated](verdicts.md)); in this noise no rule
does, and what `harness compare` ought to say is INVALID or INCONCLUSIVE. That it finds 5 % on a
real CPU backend in nine of ten is therefore **not shown** here: that needs cores nobody else uses.
"""


def page(data: Mapping[str, Any], limits: Mapping[str, int]) -> str:
    """The page of results; `limits` are the most blocks of each kind."""
    whole: dict[str, list[Row]] = {k: [] for k, *_ in LINES}
    for row in data["found"]:
        if "cut" not in row:
            whole[row["kind"]].append(row)
    lines = "\n".join(_line(what, hit, whole[kind]) for kind, what, hit in LINES)
    each = "\n".join(took(name, whole[k]) for k, name in NAMES.items())
    cut = sum("cut" in r for r in data["found"])
    more = f" {cut} were cut off by the time and are not counted." if cut else ""
    kinds: dict[str, list[str]] = {}
    for kind, rows in whole.items():
        for place in dict.fromkeys(r.get("on", place_of(data)) for r in rows):
            kinds.setdefault(place, []).append(f"`{kind}`")
    places = "".join(f"* {', '.join(names)}: {place}\n" for place, names in kinds.items())
    return f"""# What `harness compare` finds on real backends

Written by `python benchmarks/compare_aa.py`, {data["started"]}; a lane makes one comparison after
the other, on processors of its own where there are enough.{more}

{places}{noisy_place(whole["slower"])}
Both sides are loaded and measured in turns of 100 ms ([how](../compare.md)). One window after the
other, on machines of the same kind, one of 13 slow-downs of 5 % was found, and a block's p50 ratio
varied by 29 %.

What is measured with ONNX Runtime: equal matrix products on one thread. *5 % slower*: one more than
twenty a request, with the profile `standard` and at most {limits["slower"]} blocks; what the
further call costs besides is in it. *A/A*: such products in short windows, at most {limits["aa"]}
blocks.
*Noise and drift*: the fake backend on a host whose speed wanders by 1.5 % with a memory of three
seconds, longer than a window, and falls by 5 % a minute. The naive rule is two medians of five, a
change from 5 % on, in any metric.

| what | how often (95 % interval, Wilson) |
|---|---|
{lines}

| comparisons | how many | blocks | minutes | scatter of a block's p50 ratio | p50 changed by |
|---|---|---|---|---|---|
{each}
"""


def place_of(data: Mapping[str, Any]) -> str:
    """Where a call measured, and with what."""
    cpu, version = data["machine"]["cpu"], data["packages"].get("onnxruntime", "n/a")
    lanes = f"{data['lanes']} lane{'s' * (data['lanes'] > 1)}"
    return f"{cpu['model']}, {cpu['usable']} processors, {lanes}, ONNX Runtime {version}"
