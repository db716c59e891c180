"""Lanes over the GPUs of a host against one lane: time, equal numbers, and how the cards differ.

    python benchmarks/gpu/lanes.py --output OUT          measures, and writes OUT/lanes.json
    python benchmarks/gpu/lanes.py --page OUT… docs/benchmarks    the page of one host or of several

A first short run makes engines and exports, so that no run pays for them. Then one lane, and for
each number of lanes that the host has GPUs for (2, 4, 8) all of them, measure the same scenario;
what is compared is the wall time of `harness run` from its start to its end, and each point's
throughput, with variances that the points lend one another. `--only first`, and then `--only
lanes-1 lanes-4`, does it in two calls. `--device cpu` tries it with lanes on processors. The
scenario's eight rounds take about 25 minutes with one lane and two; `--set measurement.rounds=4
--set measurement.rounds_max=4 --set measurement.window=1s --set measurement.warmup=300ms` about 9.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gpubench
import numpy as np
import pages
from scipy import optimize, special

from harness.analysis.blocks import FEWEST_POINTS, drawn
from harness.analysis.intervals import Interval, t_quantile
from harness.analysis.summary import summarize
from harness.fleet.spread import spread_of
from harness.results.store import read_run
from harness.system.environment import child_env, module_command
from harness.system.machine import probe_gpus

SCENARIO = gpubench.ROOT / "scenarios" / "resnet50-lanes.yaml"
FAKE = gpubench.ROOT / "scenarios" / "fake.yaml"
MARGIN = 0.02
SIDES = (2, 4, 8)
SHORT = ("measurement.rounds=1", "measurement.rounds_max=1", "measurement.window=100ms")


class Beside(NamedTuple):
    """A point in lanes beside the same with one lane."""

    point: str
    ratio: Interval
    flags: tuple[str, ...]

    @property
    def verdict(self) -> str:
        low, high = self.ratio.low, self.ratio.high
        if low is None or high is None:
            return "undecided"
        if low >= 1 / (1 + MARGIN) and high <= 1 + MARGIN:
            return "equivalent"
        return "differs" if high < 1 or low > 1 else "undecided"


Rates = Sequence[float]


def ratio(lanes: Rates, alone: Rates) -> Interval:
    """Of the geometric means, with the interval of Welch's t on the logs."""
    logs = [np.log(np.asarray(values, float)) for values in (lanes, alone)]
    difference = float(logs[0].mean() - logs[1].mean())
    if min(map(len, logs)) < 2:
        return Interval(math.exp(difference))
    parts = [float(x.var(ddof=1)) / len(x) for x in logs]
    error = math.sqrt(sum(parts))
    if error == 0:
        return Interval(math.exp(difference), math.exp(difference), math.exp(difference))
    free = sum(parts) ** 2 / sum(
        p**2 / (len(x) - 1) for p, x in zip(parts, logs, strict=True)
    )  # fmt: skip
    half = t_quantile(0.975, free) * error
    return Interval(math.exp(difference), math.exp(difference - half), math.exp(difference + half))


def ratios(pairs: Sequence[tuple[Rates, Rates]]) -> list[Interval]:
    """The same of each of many points, whose variances are those of both runs pooled, drawn towards
    those of all points as in a run (`harness.analysis.blocks`): of four rounds alone a point knows
    little of its own scatter.
    """
    found = [ratio(*pair) for pair in pairs]
    known = [i for i, pair in enumerate(pairs) if min(map(len, pair)) > 1]
    if len(known) < FEWEST_POINTS:
        return found
    logs = [[np.log(np.asarray(values, float)) for values in pairs[i]] for i in known]
    freedoms = np.array([sum(len(x) - 1 for x in both) for both in logs], float)
    sums = [sum(float(np.square(x - x.mean()).sum()) for x in both) for both in logs]
    for i, both, variance, unsure in zip(
        known, logs, *drawn(np.array(sums) / freedoms, freedoms), strict=True
    ):
        error = math.sqrt(math.exp(variance) * sum(1 / len(x) for x in both))
        free = 2 * optimize.brentq(lambda x, u=unsure: special.zeta(2, x) - u, 1e-3, 1e9)
        middle, half = math.log(found[i].value), t_quantile(0.975, free) * error
        found[i] = Interval(found[i].value, math.exp(middle - half), math.exp(middle + half))
    return found


def throughputs(run: Mapping[str, Any]) -> dict[str, tuple[list[float], tuple[str, ...]]]:
    """Point → throughputs of the rounds that count, and what was seen at it."""
    return {p: (found["throughput"], tuple(found["flags"])) for p, found in run["points"].items()}


def beside(lanes: Mapping[str, Any], alone: Mapping[str, Any]) -> list[Beside]:
    """Each point that both have."""
    one, many = throughputs(alone), throughputs(lanes)
    both = [p for p, (values, _) in one.items() if p in many and values and many[p][0]]
    found = ratios([(many[p][0], one[p][0]) for p in both])
    return [
        Beside(p, ratio, tuple(dict.fromkeys((*one[p][1], *many[p][1]))))
        for p, ratio in zip(both, found, strict=True)
    ]


def measure(name: str, devices: str, asked: argparse.Namespace, sets: Sequence[str]) -> Any:
    """One `harness run` and what came out of it."""
    folder = asked.output / name
    scenario = FAKE if asked.device == "cpu" else SCENARIO
    argv = ["run", str(scenario), "--devices", devices, "--output", str(folder), "--no-report",
            "--quiet", *(word for text in sets for word in ("--set", text))]  # fmt: skip
    begin = time.monotonic()
    done = subprocess.run(
        [*module_command("harness"), *argv], capture_output=True, text=True, check=False,
        env=child_env({}),
    )  # fmt: skip
    seconds = time.monotonic() - begin
    if not (folder / "manifest.json").exists():
        raise gpubench.ChildError(done.stderr.strip()[-600:])
    data = read_run(folder)
    rows = summarize(data.measurements, data.failures)
    spread = spread_of([m for row in rows for m in row.measurements])
    return {
        "devices": devices, "seconds": seconds, "exit_code": done.returncode,
        "points": {
            row.point: {"throughput": row.per_round("throughput"), "flags": row.every_flag}
            for row in rows
        },
        "rounds": sorted({m.round for m in data.measurements}),
        "spread": [] if spread is None else spread.sentences(),
        "cards": [] if spread is None else [
            {"name": c.name, "rounds": c.rounds, "value": c.relative.value,
             "low": c.relative.low, "high": c.relative.high} for c in spread.cards
        ],
        "failures": [f"{f.point}, round {f.round + 1}: {f.message}" for f in data.failures][:20],
    }  # fmt: skip


def named(count: int, device: str) -> str:
    """`--devices` of so many lanes."""
    return f"cpus:{count}" if device == "cpu" else ",".join(f"cuda:{n}" for n in range(count))


def page(*records: Mapping[str, Any]) -> pages.Page:
    """What was found, by host."""
    return pages.Page("lanes", "Lanes over several GPUs", [x for r in records for x in host(r)])


def host(record: Mapping[str, Any]) -> list[str]:
    """What was found on one host."""
    runs = record["cases"]
    alone = runs["lanes-1"]
    many = max(int(name.removeprefix("lanes-")) for name in runs if name.startswith("lanes-"))
    lines = [
        f"## On {many} GPUs", "", *pages.opening(record, shlex.join(record["command"])),
        f"The same {len(alone['points'])} points in {len(alone['rounds'])} rounds: "
        "with one lane, and with all rounds dealt out to several "
        "([how](../many-gpus.md)). Engines and exports were made before. A point is *equivalent* "
        f"where the 95 % interval of its throughput over the one lane's lies within "
        f"{MARGIN:.0%}.", "",
    ]  # fmt: skip
    rows, details = [], []
    for name, run in runs.items():
        if not name.startswith("lanes-") or name == "lanes-1":
            continue
        found = beside(run, alone)
        same = sum(b.verdict == "equivalent" for b in found)
        rows.append((name.removeprefix("lanes-"), f"{run['seconds']:.0f}",
                     f"{alone['seconds'] / run['seconds']:.2f}", f"{same} of {len(found)}",
                     str(sum(b.verdict == "differs" for b in found)),
                     str(len(run["failures"]))))  # fmt: skip
        details += ["", f"### {name.removeprefix('lanes-')} lanes", "",
                    *(f"{said[:1].upper()}{said[1:]}.\n" for said in run["spread"])]  # fmt: skip
        if run["cards"]:
            details += pages.table(
                ("card", "rounds", "speed over the others'"),
                [(c["name"], str(c["rounds"]), pages.measured(_interval(c))) for c in run["cards"]],
            )
        other = [b for b in found if b.verdict != "equivalent"]
        if other:
            details += ["", "Not shown to be equivalent:", ""]
            details += pages.table(
                ("point", "throughput over one lane's", "verdict", "flags"),
                [(b.point, pages.measured(b.ratio), b.verdict, ", ".join(b.flags) or "–")
                 for b in other],
            )  # fmt: skip
    head = ("lanes", "seconds", "times as fast", "equivalent points", "that differ", "failures")
    lines += pages.table(head, [("1", f"{alone['seconds']:.0f}", "1", "–", "–",
                                 str(len(alone["failures"]))), *rows])  # fmt: skip
    return [*lines, *details, ""]


def _interval(card: Mapping[str, Any]) -> Interval:
    return Interval(card["value"], card["low"], card["high"], card["rounds"])


def main() -> None:
    if sys.argv[1:2] == ["--page"]:
        *folders, target = map(Path, sys.argv[2:])
        found = [json.loads((folder / "lanes.json").read_text("utf-8")) for folder in folders]
        print(page(*found).write(target))
        for number, record in enumerate(found):
            name = f"gpu-lanes{'' if number == 0 else f'-{number + 1}'}.json"
            (target / name).write_text(json.dumps(record, indent=1), "utf-8")
        return
    asked = gpubench.options(__doc__)
    record = gpubench.Record("lanes", asked)
    there = len(os.sched_getaffinity(0)) if asked.device == "cpu" else len(probe_gpus()[0])
    quick = ("measurement.rounds=2", "measurement.window=100ms") if asked.quick else ()
    sets = (*quick, *asked.set)
    first = (*sets, *SHORT)
    if gpubench.chosen(asked, ["first"]):
        record.attempt("first", lambda: measure("first", named(1, asked.device), asked, first))
    for count in (1, *(n for n in SIDES if n <= there)):
        if gpubench.chosen(asked, [f"lanes-{count}"]):
            record.attempt(
                f"lanes-{count}",
                lambda count=count: measure(  # type: ignore[misc]
                    f"lanes-{count}", named(count, asked.device), asked, sets
                ),
            )


if __name__ == "__main__":
    main()
