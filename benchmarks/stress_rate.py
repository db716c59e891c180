"""Locust with the harness's recorder beside the harness's own generator and perf_analyzer.

    .venv/bin/python benchmarks/stress_rate.py --rounds 5 --page docs/benchmarks

Two questions, on one embedded Triton with the identity model of benchmarks/perf_analyzer.py.

How much load can a processor make? A closed loop of `--users` users a process, over HTTP and gRPC:
Locust's engine of `harness stress` with 1, 2 and 4 workers, the wire client of `harness run` and
perf_analyzer with as many callers as one worker has. In each round every case is measured once, in
an order that turns; requests a second a core are those that the server counted in the window, by
the CPU time of the client's whole process tree in it (start-up is not in it).

Do Locust-with-our-recorder and the wire client see the same latencies at the same load? `harness
stress` and `harness run`, one after the other in each round, at the same constant rate of Poisson
arrivals; the ratio of their percentiles within a round, with a 95 % t-interval on its logarithm
over the rounds. The same is what an interval that holds 1 says, as far as it is narrow.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import perf_analyzer as pa

from harness.results.store import read_run
from harness.system.files import read_bytes
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

PROTOCOLS = ("http", "grpc")
WORKERS = (1, 2, 4)
PERCENTILES = ("p50", "p99")
HEAD = """scenario: rate
model: {{name: identity, source: {{triton: identity}},
        inputs: {{name: INPUT0, dtype: float32, shape: [batch, 16]}}}}
backends: [{{kind: triton, protocol: {protocol}, server: {{url: "{address}"}}}}]
measurement: {{profile: quick, rounds: 1, warmup: 500ms, window: {seconds}s, request_timeout: 10s}}
"""
USERS = "stress: {{shape: {{constant: {{users: {users}, duration: {seconds}s}}}}}}\n"
RATE = "stress: {{shape: {{constant: {{rate: {rate}, duration: {seconds}s}}}}}}\n"
RUN = "load: {{request_rate: {rate}, arrivals: poisson}}\n"


def locust_client(protocol: str, address: str, workers: int, users: int, seconds: float) -> None:
    """A closed loop by the engine of `harness stress`; what perf_analyzer's `--client` prints."""
    from harness.models.tensors import PreparedModel, TensorSpec
    from harness.scenario.reading.loader import load
    from harness.stress.execute import backend_of
    from harness.swarm.generator import Generator, Where
    from harness.swarm.plan import make_plan
    from harness.swarm.progress import read_records
    from harness.swarm.recorder import merge

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = (HEAD + USERS).format(
            protocol=protocol, address=address, users=users, seconds=seconds + 1
        )
        (folder / "rate.yaml").write_text(text, encoding="utf-8")
        loaded = load(folder / "rate.yaml")
        tensors = [(TensorSpec(name, "float32", ("batch", 16)),) for name in ("INPUT0", "OUTPUT0")]
        model = PreparedModel("identity", {"triton": "identity"}, "key", *tensors)
        http, grpc = (address, None) if protocol == "http" else (None, address)
        plan = make_plan(loaded, backend_of(loaded)[1], model, (http, grpc, "identity"), workers)
        random = np.random.default_rng(0)
        inputs = [{"INPUT0": random.random((1, 16), np.float32)} for _ in range(16)]
        with Generator(
            plan, inputs, Where(workers), folder=folder / "out", logs=folder, base=folder
        ) as made:
            for _ in made.events():
                pass
        samples = merge(read_records(folder / "out")).samples
    begin = samples.done[-1] - int(seconds * 1e9)
    latency = (samples.done - samples.sent)[(samples.done > begin) & (samples.status == 0)]
    print(json.dumps({"throughput": len(latency) / seconds, "p50": np.median(latency) / 1e3}))


def locust(
    meter: pa.Meter, protocol: str, workers: int, users: int, seconds: float
) -> pa.Measured:  # fmt: skip
    command = [sys.executable, __file__, "--client", protocol, pa.address(meter.server, protocol),
               str(workers), str(users), str(seconds * pa.WINDOWS)]  # fmt: skip
    text, window = meter.run(command, dict(os.environ), seconds * pa.WINDOWS - 2 * pa.SETTLE_S)
    return pa.Measured(**json.loads(text), **window)


Case = tuple[str, str]
"""Protocol, client."""


def rates(
    meter: pa.Meter, rounds: int, users: int, seconds: float
) -> dict[Case, list[pa.Measured]]:
    """Each case once a round, beginning with another one each time."""
    cases = [(p, c) for p in PROTOCOLS
             for c in (*(f"Locust, {w}" for w in WORKERS), "wire client",
                       "perf_analyzer")]  # fmt: skip
    found: dict[Case, list[pa.Measured]] = {case: [] for case in cases}
    for number in range(rounds):
        turn = number * 3 % len(cases)
        for protocol, client in (*cases[turn:], *cases[:turn]):
            if client == "wire client":
                one = pa.ours(meter, protocol, users, seconds)
            elif client == "perf_analyzer":
                one = pa.theirs(meter, protocol, users, seconds)
            else:
                workers = int(client.rpartition(" ")[2])
                one = locust(meter, protocol, workers, users * workers, seconds)
            found[protocol, client].append(one)
            print(f"round {number + 1}/{rounds} {protocol} {client}: {one.counted:.0f}/s, "
                  f"{one.cpu:.0f} µs of CPU a request, p50 {one.p50:.0f} µs, others "
                  f"{one.foreign:.2f} cores", flush=True)  # fmt: skip
    return found


def harness(folder: Path, command: str, text: str) -> Path:
    """The run directory of a scenario."""
    (folder / "rate.yaml").write_text(text, encoding="utf-8")
    output = folder / f"{command}-{len(list(folder.iterdir()))}"
    arguments = [command, str(folder / "rate.yaml"), "-o", str(output), "--quiet", "--no-report"]
    done = subprocess.run([sys.executable, "-m", "harness", *arguments], text=True, check=False,
                          capture_output=True)  # fmt: skip
    if not (output / "manifest.json").exists():
        raise SystemExit(f"harness {command} failed: {done.stderr}")
    return output


def percentiles(
    server: TritonServer, rounds: int, rate: float, seconds: float
) -> dict[str, list[tuple[dict[str, float], dict[str, float]]]]:
    """Per protocol and round: what `harness stress` and `harness run` say, in ms."""
    found: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {p: [] for p in PROTOCOLS}
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            for protocol in PROTOCOLS:
                about = {"protocol": protocol, "address": pa.address(server, protocol),
                         "rate": rate, "seconds": seconds}  # fmt: skip
                texts = {
                    "stress": (HEAD + RATE).format(**about),
                    "run": (HEAD + RUN).format(**about),
                }
                order = ("stress", "run") if number % 2 else ("run", "stress")
                runs = {command: harness(Path(name), command, texts[command]) for command in order}
                told = json.loads(read_bytes(runs["stress"] / "results.json"))["answers"]
                (row,) = read_run(runs["run"]).measurements
                both = ({p: told[f"{p}_ms"] for p in PERCENTILES},
                        {p: float(row.latency_ms[p] or math.nan) for p in PERCENTILES})  # fmt: skip
                found[protocol].append(both)
                print(f"round {number + 1}/{rounds} {protocol}: stress {both[0]}, run {both[1]}",
                      flush=True)  # fmt: skip
    return found


def mean(values: list[float]) -> str:
    """Geometric mean with its 95 % t-interval."""
    found = pa.interval(values)
    return f"{found['ratio']:,.0f} [{found['low']:,.0f}, {found['high']:,.0f}]"


def page(data: dict[str, object], rate: dict[Case, list[pa.Measured]],
         same: dict[str, list[tuple[dict[str, float], dict[str, float]]]]) -> str:  # fmt: skip
    lines = [
        "# Locust beside the harness's own generator and perf_analyzer\n",
        f"Written by `{data['command']}`: {data['rounds']} rounds on {data['cpus']} cores "
        f"({data['cpu']}) for client and server together; other processes used "
        f"{data['foreign']:.2f} cores in the median. Identity model, 64 bytes, "
        f"{data['users']} users or callers a process. Means are geometric, with 95 % "
        "t-intervals.\n",
        "| protocol | client | requests/s | requests/s a core of the client | p50, µs |",
        "|---|---|---|---|---|",
    ]
    for (protocol, client), all_ in rate.items():
        per_core = mean([1e6 / m.cpu for m in all_])
        lines.append(f"| {protocol} | {client} | {mean([m.counted for m in all_])} | {per_core} "
                     f"| {mean([m.p50 for m in all_])} |")  # fmt: skip
    lines += [
        "\n`Locust, 4` is four workers and a master, as `harness stress --workers 4`; a worker has "
        "one core at most.\n",
        f"## The same percentiles at {data['rate']:g} requests a second\n",
        "| protocol | percentile | stress (Locust), ms | run (wire client), ms | ratio | |",
        "|---|---|---|---|---|---|",
    ]
    for protocol, rounds in same.items():
        for p in PERCENTILES:
            a, b = ([pair[i][p] for pair in rounds] for i in (0, 1))
            ratio = pa.interval([x / y for x, y in zip(a, b, strict=True)])
            says = "holds 1" if ratio["low"] <= 1 <= ratio["high"] else "does not hold 1"
            shown = f"{ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
            lines.append(f"| {protocol} | {p} | {np.median(a):.3f} | {np.median(b):.3f} | "
                         f"{shown} | {says} |")  # fmt: skip
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="a third of each measurement")
    parser.add_argument("--users", type=int, default=8, help="of a process")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="requests a second, for percentiles"
    )
    parser.add_argument("--page", type=Path, help="folder for stress-rate.json and .md")
    parser.add_argument("--client", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        protocol, address, workers, users, seconds = options.client
        locust_client(protocol, address, int(workers), int(users), float(seconds))
        return
    if options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        rate = rates(pa.Meter(server), options.rounds, options.users, options.seconds)
        same = percentiles(server, options.rounds, options.rate, 4 * options.seconds)
    data: dict[str, object] = {
        "command": pa.command_line(), "rounds": options.rounds, "cpus": os.cpu_count(),
        "cpu": pa.cpu_name(), "users": options.users, "rate": options.rate,
        "foreign": float(np.median([m.foreign for all_ in rate.values() for m in all_])),
    }  # fmt: skip
    text = page(data, rate, same)
    print(text)
    if options.page:
        raw = {f"{p}, {c}": [asdict(m) for m in all_] for (p, c), all_ in rate.items()}
        (options.page / "stress-rate.md").write_text(text, encoding="utf-8")
        (options.page / "stress-rate.json").write_text(
            json.dumps({"about": data, "rates": raw, "percentiles_ms": same}, indent=1) + "\n",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
