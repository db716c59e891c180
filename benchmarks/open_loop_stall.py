"""A stall of one second at its true weight: our open loop, perf_analyzer's, and a closed loop.

    PYTHONPATH=. .venv/bin/python benchmarks/open_loop_stall.py --rounds 3 --output docs/benchmarks

The server is the null server (real sockets, a process of its own): it answers after 0.5 ms, but
from 2 s after the first request on it answers nothing for 1 s. Requests are due evenly, so what
users see is known: whoever comes in the stall waits for its end. That is computed for the very
schedule of each run, and compared with what was reported. In each round all clients are run one
after the other, in an order that alternates.

perf_analyzer runs with `--request-rate-range` and its defaults; its percentiles are computed from
the times of its profile export, by the same estimator as ours. The closed loop asks as many
requests in the same time as it can with four callers, and waits for each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from null_triton import MODEL, serving
from numpy.typing import NDArray
from perf_analyzer import command_line, cpu_name, interval, perf_analyzer
from support.slow_server import Behaviour

from harness.load.schedule import Segment, make_schedule
from harness.load.wire.plan import Plan, make
from harness.load.wire.requests import grpc_request, http_request
from harness.results.samples import OK
from harness.triton.server.install import find

Float64 = NDArray[np.float64]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
SERVICE_S, STALL_AT_S = 0.0005, 2.0
OUTSTANDING, CALLERS = 4096, 4
NAMES = {"ours": "ours, open loop", "theirs": "perf_analyzer", "closed": "closed loop, 4 callers"}
TOLERANCE = 0.05


@dataclass(frozen=True)
class Case:
    """What every client is run on."""

    protocol: str
    rate: float
    seconds: float
    stall: float

    @property
    def requests(self) -> int:
        return round(self.rate * self.seconds)


def percentile(values: Float64, q: float) -> float:
    """The smallest value with a share of at least q at or below it."""
    return float(np.sort(values)[max(0, int(np.ceil(q * len(values) - 1e-9)) - 1)])


def truth(case: Case, due: Float64) -> Float64:
    """Seconds that each request must take, from when it is due: seconds after the first."""
    end = STALL_AT_S + case.stall
    return np.where((due >= STALL_AT_S) & (due < end), end - due, 0.0) + SERVICE_S


def request(protocol: str, address: str) -> bytes:
    if protocol == "http":
        from tritonclient.http import InferInput
    else:
        from tritonclient.grpc import InferInput
    tensor = InferInput("INPUT0", [1, 16], "FP32")
    tensor.set_data_from_numpy(np.ones((1, 16), np.float32))
    if protocol == "http":
        return http_request(address, MODEL, [tensor])
    return grpc_request(MODEL, [tensor])


def ours(case: Case, address: str) -> tuple[Float64, Float64]:
    schedule = make_schedule([Segment(case.rate, case.rate, case.seconds)], "constant")
    plan = Plan(case.protocol, address, (request(case.protocol, address),), OUTSTANDING, 30.0,
                schedule, sample_every=0)  # fmt: skip
    generator = make(plan)
    generator.start()
    while generator.completed() < len(schedule) and generator.failure is None:
        time.sleep(0.05)
    samples = generator.stop(30.0)
    assert (samples.status == OK).all(), samples.messages
    due = (samples.scheduled - samples.sent.min()) / 1e9
    return (samples.done - samples.scheduled) / 1e9, truth(case, due)


def theirs(case: Case, address: str) -> tuple[Float64, Float64]:
    binary, env = perf_analyzer(find())
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder, "export.json")
        command = [
            str(binary), "-m", MODEL, "-x", "1", "-i", case.protocol, "-u", address,
            "--request-rate-range", f"{case.rate:g}", "--request-count", str(case.requests),
            "--profile-export-file", str(export),
        ]  # fmt: skip
        done = subprocess.run(command, env=env, text=True, capture_output=True, check=False)
        if not export.is_file():
            raise SystemExit(f"perf_analyzer failed: {done.stdout}{done.stderr}")
        found = json.loads(export.read_text())["experiments"][0]["requests"]
    times = [(r["timestamp"], r["response_timestamps"][-1]) for r in found]
    sent, answered = np.array(times, np.float64).T
    due = np.arange(case.requests) / case.rate
    return (answered - sent) / 1e9, truth(case, due)


def closed(case: Case, address: str) -> tuple[Float64, Float64]:
    plan = Plan(case.protocol, address, (request(case.protocol, address),), CALLERS, 30.0,
                sample_every=0)  # fmt: skip
    generator = make(plan)
    generator.start()
    time.sleep(case.seconds)
    samples = generator.stop(30.0)
    assert (samples.status == OK).all(), samples.messages
    due = np.arange(case.requests) / case.rate
    return (samples.done - samples.sent) / 1e9, truth(case, due)


CLIENTS: dict[str, Callable[[Case, str], tuple[Float64, Float64]]] = {
    "ours": ours, "theirs": theirs, "closed": closed,
}  # fmt: skip


def measure(case: Case, who: str) -> dict[str, dict[str, float]]:
    """Percentile → what was reported and what is true, in ms."""
    behaviour = Behaviour(
        int(1e9 * SERVICE_S), stall_at=int(1e9 * STALL_AT_S), stall=int(1e9 * case.stall)
    )
    with serving(case.protocol, behaviour) as address:
        reported, true = CLIENTS[who](case, address)
    return {
        name: {"reported": 1e3 * percentile(reported, q), "true": 1e3 * percentile(true, q)}
        for name, q in QUANTILES.items()
    } | {"requests": {"reported": len(reported), "true": case.requests}}


def rows(found: dict[str, dict[str, list[dict[str, dict[str, float]]]]]) -> list[dict[str, object]]:
    out: list[dict[str, object]] = []
    for protocol, clients in found.items():
        for who, rounds in clients.items():
            for name in QUANTILES:
                ratios = [r[name]["reported"] / r[name]["true"] for r in rounds]
                out.append({
                    "protocol": protocol, "client": who, "percentile": name,
                    "reported_ms": float(np.median([r[name]["reported"] for r in rounds])),
                    "true_ms": float(np.median([r[name]["true"] for r in rounds])),
                    "requests": float(np.median([r["requests"]["reported"] for r in rounds])),
                    **interval(ratios),
                })  # fmt: skip
    return out


def page(results: list[dict[str, object]], about: dict[str, object]) -> str:
    lines = [
        "# A stall at its true weight", "",
        f"{about['rounds']} interleaved rounds on {about['cpus']} cores ({about['cpu']}), clients "
        f"and server together. {about['rate']:g} requests a second are due evenly for "
        f"{about['seconds']:g} s; {STALL_AT_S:g} s after the first, the server answers nothing for "
        f"{about['stall']:g} s. True is what the schedule says: whoever comes in the stall waits "
        "for its end. Values are medians over the rounds; ratios are geometric means of reported / "
        "true, with 95 % t-intervals.", "",
        "| protocol | client | requests | | reported | true | reported / true | 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {r['protocol']} | {NAMES[str(r['client'])]} | {r['requests']:.0f} | {r['percentile']} "
        f"| {r['reported_ms']:.4g} ms | {r['true_ms']:.4g} ms | {r['ratio']:.3g} "
        f"| {r['low']:.3g}–{r['high']:.3g} |"
        for r in results
    ]
    p99 = [r for r in results if r["client"] == "ours" and r["percentile"] == "p99"]
    met = all(abs(float(str(r["ratio"])) - 1) <= TOLERANCE for r in p99)
    lines += [
        "", f"Target: our p99 within {TOLERANCE:.0%} of the true one: "
        f"{'met' if met else 'missed'}. Below the stall's quantiles the true value is the service "
        "time alone, without the client and the loopback, so ratios of p50 are above 1.", "",
        "perf_analyzer sends from a fixed number of threads and starts the clock when it sends: "
        "while they all wait, nothing more is asked, and what was due meanwhile is sent late and "
        "looks fast. The closed loop does the same with four callers.", "",
        f"Reproduce: `{about['command']}`", "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=8.0, help="of load in each run")
    parser.add_argument("--stall", type=float, default=1.0, help="seconds")
    parser.add_argument("--protocols", nargs="+", default=["http", "grpc"])
    parser.add_argument("--output", type=Path, help="folder for open_loop_stall.json and .md")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    if options.seconds <= STALL_AT_S + options.stall:
        parser.error(f"the stall ends after {STALL_AT_S + options.stall:g} s: load longer")
    found: dict[str, dict[str, list[dict[str, dict[str, float]]]]] = {
        p: {who: [] for who in CLIENTS} for p in options.protocols
    }
    for number in range(options.rounds):
        for protocol in options.protocols:
            case = Case(protocol, options.rate, options.seconds, options.stall)
            order = list(CLIENTS) if number % 2 == 0 else list(CLIENTS)[::-1]
            for who in order:
                result = measure(case, who)
                found[protocol][who].append(result)
                p99 = result["p99"]
                said = f"round {number + 1}/{options.rounds} {protocol} {NAMES[who]}: p99 "
                said += f"{p99['reported']:.1f} ms, true {p99['true']:.1f} ms"
                print(said, flush=True)
    about: dict[str, object] = {
        "command": command_line(),
        "rounds": options.rounds, "rate": options.rate, "seconds": options.seconds,
        "stall": options.stall, "cpus": os.cpu_count(), "cpu": cpu_name(),
        "python": platform.python_version(),
    }  # fmt: skip
    results = rows(found)
    text = page(results, about)
    print(f"\n{text}")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        data = {"about": about, "results": results, "rounds": found}
        (options.output / "open_loop_stall.json").write_text(json.dumps(data, indent=1) + "\n")
        (options.output / "open_loop_stall.md").write_text(text)


if __name__ == "__main__":
    main()
