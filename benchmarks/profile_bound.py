"""How often `harness profile` names the wrong bound: simulated traces whose truth is known.

    PYTHONPATH=. python benchmarks/profile_bound.py --traces 3000 --output docs/benchmarks

Each trace is PyTorch Profiler's events of requests to a GPU that takes kernels in order from a host
that launches them one by one (tests/support/kineto.py). Kernels, their lengths, the launches and
the copies are drawn; so is the noise. The truth is the largest part of a request without noise,
walked by code of its own. An error is a name that is not it; `mixed` is no name. About a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.kineto import ROOF, WORK, Machine, events_of, truth

from harness.inspect.trace import kineto
from harness.profile.bound import KINDS, judge
from harness.profile.split import gpu_of, split

LEADS = ((0.0, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 1.0))
"""By how much the largest part leads the second, in shares of a request."""


def drawn(rng: np.random.Generator) -> Machine:
    """A machine, of any kind."""
    return Machine(
        int(rng.integers(4, 40)), int(rng.integers(4, 40)), float(rng.uniform(3, 60)),
        float(rng.uniform(3, 60)), float(rng.uniform(3, 60)),
        float(np.exp(rng.uniform(np.log(5), np.log(1500)))), float(rng.uniform(0.05, 0.4)),
    )  # fmt: skip


def near_tie(rng: np.random.Generator) -> Machine:
    """A machine whose compute and memory sides take the same time: any name is a coin's."""
    count, us = int(rng.integers(4, 40)), float(rng.uniform(20, 60))
    return Machine(count, count, us, us, 3.0, 5.0, float(rng.uniform(0.05, 0.4)))


def judged(machine: Machine, requests: int, rng: np.random.Generator) -> str:
    """The kind that the code names."""
    trace = kineto(events_of(machine, requests, rng))
    return judge(split(trace, WORK, ROOF), (), ROOF, gpu_of(trace)).kind


def one(machine: Machine, requests: int, rng: np.random.Generator) -> tuple[str, str, float]:
    """What is true, what is named, and the lead."""
    shares = truth(machine)
    first, second = sorted(shares, key=lambda part: -shares[part])[:2]
    return KINDS[first], judged(machine, requests, rng), shares[first] - shares[second]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=3000)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    rng = np.random.default_rng(19)
    rows = [one(drawn(rng), asked.requests, rng) for _ in range(asked.traces)]
    ties = Counter(judged(near_tie(rng), asked.requests, rng) for _ in range(asked.traces // 3))
    page = "\n".join(_page(rows, ties, asked.requests)) + "\n"
    print(page)
    if asked.output:
        (asked.output / "profile-bound.md").write_text(page, "utf-8")
        found = {"requests": asked.requests, "traces": rows, "ties": ties, "seed": 19}
        (asked.output / "profile-bound.json").write_text(json.dumps(found) + "\n", "utf-8")


def _page(rows: list[tuple[str, str, float]], ties: Counter[str], requests: int) -> list[str]:
    lines = [
        "# Does a profile name the right bound", "",
        f"{len(rows):,} simulated traces of a GPU, {requests} requests each, with kernels, "
        "launches, copies and noise drawn; the truth is the largest part of a request without "
        "noise, walked by code of its own. Simulated: no GPU was measured.", "",
        "```", f"PYTHONPATH=. python benchmarks/profile_bound.py --traces {len(rows)} "
        "--output docs/benchmarks", "```", "",
        "| lead of the largest part | traces | named | of those wrong |", "|---|---:|---:|---:|",
    ]  # fmt: skip
    for low, high in LEADS:
        lines.append(_line(f"{low:.0%} – {high:.0%}", [r for r in rows if low <= r[2] < high]))
    lines.append(_line("all", rows))
    lines += ["", "| truth | traces | named | of those wrong |", "|---|---:|---:|---:|"]
    lines += [_line(kind, [r for r in rows if r[0] == kind]) for kind in KINDS.values()
              if any(r[0] == kind for r in rows)]  # fmt: skip
    count = ties.total()
    named = count - ties["mixed"]
    lines += ["", f"Where compute and memory take exactly the same time, {named} of {count:,} "
              f"traces ({named / max(1, count):.1%}) were given a name; 5 % or fewer is what the "
              "method promises."]  # fmt: skip
    return lines


def _line(title: str, rows: list[tuple[str, str, float]]) -> str:
    named = [r for r in rows if r[1] != "mixed"]
    wrong = sum(r[0] != r[1] for r in named)
    share = f"{wrong} ({wrong / len(named):.2%})" if named else "n/a"
    return f"| {title} | {len(rows):,} | {len(named):,} | {share} |"


if __name__ == "__main__":
    main()
