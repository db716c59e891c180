"""From what benchmarks/model_analyzer.py measured to its page; computes, never measures.

A *choice* is what a tool names best. It is *really best* where the judge's run (a long one, over
everything that either tool put among its first three) can't tell it from the best configuration:
the 95 % interval of the ratio of the two throughputs includes 1. A configuration's throughput is
that at its best concurrency.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from welch import ratio_interval

from harness.analysis.intervals import Interval, log_t_interval

THEIRS, ONE, ENOUGH, DECIDED = "model_analyzer", "ours_one_round", "ours", "ours_decided"
TOOLS = {
    THEIRS: "Model Analyzer", ONE: "harness, one round", ENOUGH: "harness, {rounds} rounds",
    DECIDED: "harness, until told apart",
}  # fmt: skip
TARGETS = {ONE: 0.25, ENOUGH: 1.0, DECIDED: 0.4}
"""At most this share of Model Analyzer's wall time."""


@dataclass(frozen=True)
class Run:
    """One tool's run over one model's space."""

    tool: str
    repeat: int
    seconds: float
    """Wall time from the command to its last report."""
    configs: int
    points: int
    best: list[str]
    """Names of its first three configurations, best first; the first is its choice."""
    tied: list[str] = field(default_factory=list)
    """Those it says it can't tell apart, the choice included; Model Analyzer never says so."""
    concurrency: int = 0
    """At which the choice was best."""
    retries: int = 0
    """Times that perf_analyzer was started again because its windows disagreed."""
    foreign: float = 0.0
    """Cores that other processes used meanwhile."""
    failures: int = 0


@dataclass(frozen=True)
class Judged:
    """One configuration in the judge's run, at its best concurrency."""

    config: str
    concurrency: int
    throughput: Interval
    ratio: Interval
    """To the best configuration."""

    @property
    def is_best(self) -> bool:
        """Whether it is the best, or can't be told from it."""
        low, high = self.ratio.low, self.ratio.high
        return self.ratio.value == 1 or low is None or high is None or low <= 1 <= high


def judge(points: Sequence[Mapping[str, Any]]) -> dict[str, Judged]:
    """By name, best first; from the valid points.

    A point is `{config, concurrency, valid, throughput: [a value a round]}`.
    """
    top: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for point in points:
        if not point["valid"]:
            continue
        value = log_t_interval(point["throughput"]).value
        if value > top.get(point["config"], (-math.inf, point))[0]:
            top[point["config"]] = value, point
    ordered = [point for _, point in sorted(top.values(), key=lambda pair: -pair[0])]
    first = ordered[0]
    return {
        point["config"]: Judged(
            point["config"], point["concurrency"], log_t_interval(point["throughput"]),
            Interval(1.0, 1.0, 1.0) if point is first
            else ratio_interval(point["throughput"], first["throughput"]),
        )
        for point in ordered
    }  # fmt: skip


def shares(runs: Sequence[Run], tool: str) -> list[float]:
    """Wall time of `tool` as a share of Model Analyzer's, a value a repeat."""
    seconds = {(run.tool, run.repeat): run.seconds for run in runs}
    return [
        seconds[tool, repeat] / value
        for (name, repeat), value in sorted(seconds.items())
        if name == THEIRS and (tool, repeat) in seconds
    ]


def agreement(runs: Sequence[Run], tool: str) -> tuple[str, int, int]:
    """The choice that a tool made most often, how often, and out of how many runs."""
    chosen = Counter(run.best[0] for run in runs if run.tool == tool)
    name, count = chosen.most_common(1)[0]
    return name, count, chosen.total()


# --------------------------------------------------------------------------------------- Markdown


def page(data: Mapping[str, Any]) -> str:
    """The whole page from the JSON file's data."""
    about = data["about"]
    lines = [
        "# Model Analyzer, side by side", "",
        f"Model Analyzer {about['model_analyzer']} (brute search, local mode, its defaults "
        f"otherwise) and the harness search the same configurations of the same model directory, "
        f"served by the same tritonserver over gRPC, on {about['cpus']} cores ({about['cpu']}). "
        f"Each tool ran {about['repeats']} times, in alternating order. Wall time is from the "
        "command to the last report. The harness measures each point once a round; from the "
        "rounds come its intervals, which Model Analyzer has none of. *Until told apart* is "
        "`profile: search` with `method: halving`: two rounds of short windows over all points, a "
        "third without the configurations that are clearly worse, then up to six of those that may "
        "still be the best (docs/search.md).", "",
        "*Really best* is judged by a long run of the harness "
        f"({about['judge_rounds']} rounds, windows of {about['judge_window']}) over what either "
        "tool put among its first three: a choice is really best when the 95 % interval of its "
        "throughput, divided by that of the best, includes 1. The judge sends requests with the "
        "harness's client, as the harness's own runs do; perf_analyzer's client needs more CPU, "
        "so that on a machine with few cores it may see another order. Each configuration is "
        "judged at its best concurrency.", "",
    ]  # fmt: skip
    for name, model in data["models"].items():
        lines += _model(name, model, about["rounds"])
    return "\n".join([*lines, f"Reproduce: `{about['command']}`", ""])


def _model(name: str, model: Mapping[str, Any], rounds: int) -> list[str]:
    runs = [Run(**run) for run in model["runs"]]
    found = judge(model["judge"])
    return [
        f"## {model['title']}", "", f"{model['space']}", "",
        *_times(runs, rounds), "", *_choices(runs, found, rounds), "", *_agreements(runs, rounds),
        "", *_judge(found), "", *_not_judged(model["judge"]),
    ]  # fmt: skip


def _title(tool: str, rounds: int) -> str:
    return TOOLS[tool].format(rounds=rounds)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _times(runs: Sequence[Run], rounds: int) -> list[str]:
    rows = []
    for tool in TOOLS:
        mine = [run for run in runs if run.tool == tool]
        if not mine:
            continue
        each = ", ".join(f"{run.seconds:.0f}" for run in mine)
        row = [
            _title(tool, rounds), f"{median(run.seconds for run in mine):.0f} s", each,
            str(mine[0].configs), str(mine[0].points),
        ]  # fmt: skip
        rows.append([*row, *_share(runs, tool)])
    lines = _table(
        ("", "wall time, median", "each", "configurations", "points", "of its time", "target"), rows
    )
    theirs = [run for run in runs if run.tool == THEIRS]
    again = ", ".join(str(run.retries) for run in theirs)
    foreign = median(run.foreign for run in runs)
    return [
        *lines, "",
        f"Model Analyzer started perf_analyzer again, with more requests, {again} times, because "
        f"its windows disagreed. Other processes used {foreign:.2f} cores in the median.",
    ]  # fmt: skip


def _share(runs: Sequence[Run], tool: str) -> tuple[str, str]:
    if tool == THEIRS:
        return "1", ""
    ratios = shares(runs, tool)
    found = log_t_interval(ratios)
    text = f"{found.value:.2f}" + (f" ({found.low:.2f}–{found.high:.2f})" if found.low else "")
    limit = TARGETS[tool]
    shown = found.high is not None and found.high <= limit
    met = "missed" if found.value > limit else "met" if shown else "met, not shown by the interval"
    return text, f"≤ {limit:g}: {met}"


def _choices(runs: Sequence[Run], found: Mapping[str, Judged], rounds: int) -> list[str]:
    rows = []
    for run in sorted(runs, key=lambda r: (list(TOOLS).index(r.tool), r.repeat)):
        judged = found.get(run.best[0])
        others = [name for name in run.tied if name != run.best[0]]
        rows.append((
            _title(run.tool, rounds), str(run.repeat + 1), f"`{run.best[0]}` c{run.concurrency}",
            ", ".join(f"`{name}`" for name in run.best[1:]),
            ", ".join(f"`{name}`" for name in others) or "–",
            "–" if judged is None else "yes" if judged.is_best else "no",
            "not judged" if judged is None else _percent(judged.ratio),
        ))  # fmt: skip
    head = ("", "repeat", "chose", "then", "says it can't tell it from", "config really best",
            "its throughput, of the best's")  # fmt: skip
    return _table(head, rows)


def _agreements(runs: Sequence[Run], rounds: int) -> list[str]:
    lines = ["How often each tool chose the same configuration:", ""]
    for tool in TOOLS:
        if any(run.tool == tool for run in runs):
            name, count, of = agreement(runs, tool)
            lines.append(f"* {_title(tool, rounds)}: `{name}` {count} of {of} times.")
    return lines


def _judge(found: Mapping[str, Judged]) -> list[str]:
    rows = [
        (
            f"`{row.config}`", str(row.concurrency), _with_interval(row.throughput),
            _percent(row.ratio), "yes" if row.is_best else "no",
        )
        for row in found.values()
    ]  # fmt: skip
    head = ("judged", "best concurrency", "inferences/s", "of the best's", "among the best")
    return _table(head, rows)


def _not_judged(points: Sequence[Mapping[str, Any]]) -> list[str]:
    invalid = [
        f"`{p['config']}` at concurrency {p['concurrency']} ({', '.join(p['flags'])})"
        for p in points
        if not p["valid"]
    ]
    return [f"Not judged, because the measurement is invalid: {'; '.join(invalid)}.", ""] * bool(
        invalid
    )


def _with_interval(value: Interval) -> str:
    if value.low is None or value.high is None:
        return f"{value.value:.1f}"
    return f"{value.value:.1f} ({value.low:.1f}–{value.high:.1f})"


def _percent(ratio: Interval) -> str:
    if ratio.low is None or ratio.high is None or ratio.low == ratio.high:
        return f"{ratio.value:.1%}"
    return f"{ratio.value:.1%} ({ratio.low:.1%}–{ratio.high:.1%})"
