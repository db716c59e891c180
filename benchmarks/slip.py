"""How late the open loop sends: slip at 1,000, 5,000 and 10,000 requests a second.

    .venv/bin/python benchmarks/slip.py --rounds 3 --output docs/benchmarks

Poisson arrivals, FP32[16] requests, against the null server (a process of its own, on the same
cores), over HTTP and gRPC, from one and from two generator processes. Slip is the time from when a
request was due to when its first byte was handed to the kernel. Cases are interleaved: each round
visits all of them, in alternating order. Each round also times a thread that does nothing but wait
for the moments of such a schedule, reading the clock all the time: what the machine itself takes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from null_triton import serving
from open_loop_stall import percentile, request
from perf_analyzer import command_line, cpu_name

from harness.load.schedule import Segment, make_schedule
from harness.load.wire.generator import run
from harness.load.wire.plan import Plan
from harness.results.samples import OK, UNFINISHED

RATES = (1000, 5000, 10_000)
FLOOR = ("clock", 1000, 0)
CASES = [FLOOR, *((p, r, n) for p in ("http", "grpc") for r in RATES for n in (1, 2))]
WARM_S = 0.5
OUTSTANDING = 256
LIMIT_MS = 1.0


@dataclass(frozen=True)
class Slip:
    """One case in one round; µs, and shares of the requests that were due."""

    p50: float
    p99: float
    p999: float
    worst: float
    sent: float
    """Requests sent a second."""
    late: float
    """Share that left more than a millisecond late; above 1 % a point is flagged."""


def measure(protocol: str, rate: float, processes: int, seconds: float, seed: int) -> Slip:
    length = WARM_S + seconds
    schedule = make_schedule([Segment(rate, rate, length)], "poisson", seed=seed)
    with serving(protocol) as address:
        plan = Plan(protocol, address, (request(protocol, address),), OUTSTANDING, 30.0, schedule,
                    sample_every=0)  # fmt: skip
        generator = run(plan, processes)
        generator.start()
        end = time.monotonic() + 3 * length
        while generator.completed() < len(schedule) and time.monotonic() < end:
            time.sleep(0.05)
        samples = generator.stop(30.0)
    bad = ~np.isin(samples.status, (OK, UNFINISHED))
    assert not bad.any(), samples.messages
    counted = samples.scheduled >= samples.scheduled.min() + WARM_S * 1e9
    slip = (samples.sent - samples.scheduled)[counted] / 1e3
    span = (samples.sent[counted].max() - samples.sent[counted].min()) / 1e9
    return Slip(
        percentile(slip, 0.5), percentile(slip, 0.99), percentile(slip, 0.999),
        percentile(slip, 1.0),
        float(counted.sum() / span), float((slip > 1e3 * LIMIT_MS).mean()),
    )  # fmt: skip


def floor(rate: float, seconds: float, seed: int) -> Slip:
    """The slip of a loop that sends nothing and does nothing but read the clock."""
    schedule = make_schedule([Segment(rate, rate, seconds)], "poisson", seed=seed)
    clock = time.monotonic_ns
    begin = clock()
    late = []
    for due in (schedule + begin).tolist():
        while (now := clock()) < due:
            pass
        late.append(now - due)
    slip = np.array(late) / 1e3
    return Slip(
        percentile(slip, 0.5), percentile(slip, 0.99), percentile(slip, 0.999),
        percentile(slip, 1.0),
        len(late) / seconds, float((slip > 1e3 * LIMIT_MS).mean()),
    )  # fmt: skip


def page(found: dict[tuple[str, int, int], list[Slip]], about: dict[str, object]) -> str:
    lines = [
        "# Slip of the open loop", "",
        f"{about['rounds']} interleaved rounds of {about['seconds']:g} s on {about['cpus']} cores "
        f"({about['cpu']}), generator and null server together. Poisson arrivals. Medians over the "
        "rounds, with the smallest and the largest in brackets. A point is flagged `client_late` "
        f"when 1 % of its requests leave more than {LIMIT_MS:g} ms late, and more than 5 % of the "
        "median service time.", "",
        "| protocol | asked | processes | sent | slip p50 | slip p99 | slip p99.9 | over 1 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (protocol, rate, processes), rounds in found.items():
        cells = [_cell([getattr(r, k) for r in rounds]) for k in ("p50", "p99", "p999")]
        sent = float(np.median([r.sent for r in rounds]))
        late = float(np.median([r.late for r in rounds]))
        shown = "clock alone" if protocol == FLOOR[0] else protocol
        lines.append(
            f"| {shown} | {rate:,}/s | {processes or '–'} | {sent:,.0f}/s | "
            f"{' | '.join(cells)} | {100 * late:.2g} % |"
        )
    return "\n".join([*lines, "", f"Reproduce: `{about['command']}`", ""])


def _cell(values: list[float]) -> str:
    low, mid, high = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in
                      (min(values), float(np.median(values)), max(values)))  # fmt: skip
    return f"{mid} µs ({low}–{high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.5, help="measured in each case")
    parser.add_argument("--output", type=Path, help="folder for slip.json and slip.md")
    options = parser.parse_args()
    found: dict[tuple[str, int, int], list[Slip]] = {case: [] for case in CASES}
    for number in range(options.rounds):
        for case in CASES if number % 2 == 0 else CASES[::-1]:
            slip = (
                floor(case[1], options.seconds, number) if case == FLOOR
                else measure(*case, options.seconds, seed=number)
            )  # fmt: skip
            found[case].append(slip)
            print(f"round {number + 1}/{options.rounds} {case}: p50 {slip.p50:.0f} µs, p99 "
                  f"{slip.p99:.0f} µs, sent {slip.sent:.0f}/s", flush=True)  # fmt: skip
    about: dict[str, object] = {
        "command": command_line(),
        "rounds": options.rounds, "seconds": options.seconds, "cpus": os.cpu_count(),
        "cpu": cpu_name(), "python": platform.python_version(),
    }  # fmt: skip
    text = page(found, about)
    print(f"\n{text}")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        cases = [
            {"protocol": p, "rate": r, "processes": n, "rounds": [asdict(s) for s in slips]}
            for (p, r, n), slips in found.items()
        ]
        data = {"about": about, "cases": cases}
        (options.output / "slip.json").write_text(json.dumps(data, indent=1) + "\n")
        (options.output / "slip.md").write_text(text)


if __name__ == "__main__":
    main()
