"""Locust with the harness's recorder beside the harness's own generator and perf_analyzer.

    .venv/bin/python benchmarks/stress_rate.py --output OUT
    .venv/bin/python benchmarks/stress_rate.py --page OUT … docs/benchmarks

Two questions, on one embedded Triton with the identity model of benchmarks/perf_analyzer.py.

How much load can a processor make? A closed loop of `--users` users a process, over HTTP and gRPC:
Locust's engine of `harness stress` with 1, 2 and 4 workers, the wire client of `harness run` and
perf_analyzer with as many callers as one worker has. In each round every case is measured once, in
an order that turns; requests a second a core are those that the server counted in the window, by
the CPU time of the client's whole process tree in it (start-up is not in it).

Do Locust-with-our-recorder and the wire client see the same latencies at the same load? `harness
stress` and `harness run`, one after the other in each round, at the same constant rate of Poisson
arrivals; the ratio of their percentiles within a round, with a 95 % t-interval on its logarithm
over the rounds. The same is what an interval that holds 1 says, as far as it is narrow. With
`--model-ms 10` the model sleeps for 10 ms at each request, four of them at a time: identity answers
in less than a millisecond, of which a client's own time is a part; few models do.

In parts, each within `--limit` seconds and added to what OUT holds: `--only rates` or `--only
percentiles`, `--protocols grpc`; `--without perf_analyzer` where its binary can't be had.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import perf_analyzer as pa

from harness.results.store import read_run
from harness.system.files import read_bytes
from harness.triton.server.install import find
from harness.triton.server.process import TritonServer

PROTOCOLS = ("http", "grpc")
WORKERS = (1, 2, 4)
PERCENTILES = ("p50", "p99")
PARTS = {False: "percentiles_ms", True: "slow_percentiles_ms"}
"""In stress-rate.json, of the identity model and of one that sleeps."""
SLOW_INSTANCES = 4
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


def in_time(options: argparse.Namespace) -> Iterator[int]:
    """Rounds: two at least, as many as asked at most, and none that would end past the limit."""
    begin, longest = time.monotonic(), 0.0
    for number in range(options.rounds):
        at = time.monotonic()
        if number >= 2 and at - begin + longest > options.limit:
            return
        yield number
        longest = max(longest, time.monotonic() - at)


def measured(
    meter: pa.Meter, protocol: str, client: str, users: int, seconds: float
) -> pa.Measured:  # fmt: skip
    """One client once. Raises FailedError."""
    if client == "wire client":
        return pa.ours(meter, protocol, users, seconds)
    if client == "perf_analyzer":
        return pa.theirs(meter, protocol, users, seconds)
    workers = int(client.rpartition(" ")[2])
    return locust(meter, protocol, workers, users * workers, seconds)


def rates(meter: pa.Meter, options: argparse.Namespace) -> dict[Case, list[pa.Measured]]:
    """Each case once a round, beginning with another one each time."""
    users, seconds = options.users, options.seconds
    clients = [*(f"Locust, {w}" for w in WORKERS), "wire client", "perf_analyzer"]
    cases = [(p, c) for p in options.protocols for c in clients if c not in options.without]
    found: dict[Case, list[pa.Measured]] = {case: [] for case in cases}
    for number in in_time(options):
        turn = number * 3 % len(cases)
        for protocol, client in (*cases[turn:], *cases[:turn]):
            try:
                one = measured(meter, protocol, client, users, seconds)
            except pa.FailedError as error:  # one figure less, which the page counts
                print(f"round {number + 1} {protocol} {client}: {error}", flush=True)
                continue
            found[protocol, client].append(one)
            print(f"round {number + 1} {protocol} {client}: {one.counted:.0f}/s, "
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


Pair = Sequence[dict[str, float]]
"""What `harness stress` and what `harness run` say, in ms."""


def percentiles(server: TritonServer, options: argparse.Namespace) -> dict[str, list[Pair]]:
    """Per protocol and round."""
    found: dict[str, list[Pair]] = {p: [] for p in options.protocols}
    with tempfile.TemporaryDirectory() as name:
        for number in in_time(options):
            for protocol in options.protocols:
                about = {"protocol": protocol, "address": pa.address(server, protocol),
                         "rate": options.rate, "seconds": 4 * options.seconds}  # fmt: skip
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
                print(f"round {number + 1} {protocol}: stress {both[0]}, run {both[1]}",
                      flush=True)  # fmt: skip
    return found


def mean(values: list[float]) -> str:
    """Geometric mean with its 95 % t-interval."""
    found = pa.interval(values)
    return f"{found['ratio']:,.0f} [{found['low']:,.0f}, {found['high']:,.0f}]"


def where(about: dict[str, object]) -> str:
    """What a part was measured with."""
    command, apart = re.subn(r" --protocols (http|grpc)\b", "", str(about["command"]))
    return (f"Written by `{command}`{', a protocol at a time,' if apart else ''} on "
            f"{about['cpus']} cores ({about['cpu']}) for client and server together. "
            f"{model(about)[:1].upper()}{model(about)[1:]}, 64 bytes.")  # fmt: skip


def model(about: Mapping[str, object]) -> str:
    """Which one answered."""
    ms = about.get("model_ms")
    asleep = f" that sleeps {ms:g} ms, in {SLOW_INSTANCES} instances" if ms else ""
    return f"identity model{asleep}"


def page(data: dict[str, Any]) -> str:
    """The page of what is in stress-rate.json."""
    about = data["about"]
    lines = ["# Locust beside the harness's own generator and perf_analyzer\n"]
    if rate := data.get("rates"):
        lines += rates_text(about["rates"], rate)
    for part in PARTS.values():
        if same := data.get(part):
            lines += percentiles_text(about[part], same)
    return "\n".join([*lines, ""])


def rates_text(about: dict[str, Any], rate: dict[str, list[dict[str, float]]]) -> list[str]:
    foreign = float(np.median([m["foreign"] for all_ in rate.values() for m in all_]))
    rounds = " to ".join(str(n) for n in sorted({len(all_) for all_ in rate.values()}))
    lines = [
        f"{where(about)} {rounds} rounds; other processes used {foreign:.2f} cores in the median; "
        f"{about['users']} users or callers a process. Means are geometric, with 95 % "
        "t-intervals.\n",
        "| protocol | client | requests/s | requests/s a core of the client | p50, µs |",
        "|---|---|---|---|---|",
    ]
    for case, all_ in rate.items():
        if len(all_) < 2:
            lines.append(f"| {case.replace(', ', ' | ', 1)} | measured {len(all_)} times | | |")
            continue
        protocol, _, client = case.partition(", ")
        per_core = mean([1e6 / m["cpu"] for m in all_])
        lines.append(f"| {protocol} | {client} | {mean([m['counted'] for m in all_])} | {per_core} "
                     f"| {mean([m['p50'] for m in all_])} |")  # fmt: skip
    if not any("perf_analyzer" in case for case in rate):
        lines.append("\nperf_analyzer's binary was not there; "
                     "[it stands beside the wire client elsewhere](perf_analyzer.md).")  # fmt: skip
    return [
        *lines,
        "\n`Locust, 4` is four workers and a master, as `harness stress --workers 4`; a worker has "
        "one core at most, and the master's is counted too. Where requests/s rise no more with "
        "workers, the server's one model instance answers no more: what a client could make is its "
        "requests/s a core for each core it has.\n",
    ]


def percentiles_text(about: dict[str, Any], same: dict[str, list[Pair]]) -> list[str]:
    rounds = " to ".join(str(n) for n in sorted({len(pairs) for pairs in same.values()}))
    lines = [
        f"\n## The same percentiles at {about['rate']:g} requests a second, {model(about)}\n",
        f"{where(about)} {rounds} rounds.\n",
        "| protocol | percentile | stress (Locust), ms | run (wire client), ms | more, ms | ratio "
        "| |",
        "|---|---|---|---|---|---|---|",
    ]
    for protocol, pairs in same.items():
        for p in PERCENTILES:
            a, b = ([pair[i][p] for pair in pairs] for i in (0, 1))
            ratio = pa.interval([x / y for x, y in zip(a, b, strict=True)])
            more = float(np.median(a) - np.median(b))
            says = "holds 1" if ratio["low"] <= 1 <= ratio["high"] else "does not hold 1"
            shown = f"{ratio['ratio']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]"
            lines.append(f"| {protocol} | {p} | {np.median(a):.3f} | {np.median(b):.3f} | "
                         f"{more:.3f} | {shown} | {says} |")  # fmt: skip
    return lines


def together(all_: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of several stress-rate.json as one; what is said about them is the first's."""
    found = dict(all_[0])
    for data in all_[1:]:
        for part in {"rates", *PARTS.values()} & {*data}:
            cases = {*found.get(part, {}), *data[part]}
            found[part] = {case: [*found.get(part, {}).get(case, []), *data[part].get(case, [])]
                           for case in sorted(cases)}  # fmt: skip
        found["about"] = {**data["about"], **found["about"]}
    return found


def save(options: argparse.Namespace, part: str, found: dict[str, list[Any]]) -> None:
    """Add a part to stress-rate.json; what it held of these cases before is replaced."""
    path = options.output / "stress-rate.json"
    data: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    about = {"command": pa.command_line().replace(str(options.output), "OUT"),
             "cpus": len(os.sched_getaffinity(0)), "cpu": pa.cpu_name(), "users": options.users,
             "rate": options.rate, "model_ms": options.model_ms}  # fmt: skip
    data.setdefault("about", {})[part] = about
    data[part] = dict(sorted({**data.get(part, {}), **found}.items()))
    options.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> None:
    if options.model_ms:
        pa.SHAPE.model_ms, pa.SHAPE.instances = options.model_ms, SLOW_INSTANCES
    if "rates" in options.only and "perf_analyzer" not in options.without:
        pa.perf_analyzer(find(), options.binary)
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        if "rates" in options.only:
            found = rates(pa.Meter(server), options)
            raw = {f"{p}, {c}": [asdict(m) for m in all_] for (p, c), all_ in found.items()}
            save(options, "rates", raw)
        if "percentiles" in options.only:
            part = PARTS[options.model_ms > 0]
            save(options, part, dict(percentiles(server, options)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="for stress-rate.json")
    parser.add_argument("--page", type=Path, nargs="+", metavar="OUT … FOLDER",
                        help="of the rounds of all OUT together")  # fmt: skip
    parser.add_argument("--only", nargs="*", default=["rates", "percentiles"])
    parser.add_argument("--protocols", nargs="*", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--without", nargs="*", default=[], help="clients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds of a part's rounds")
    parser.add_argument("--seconds", type=float, default=1.5, help="a third of each measurement")
    parser.add_argument("--users", type=int, default=8, help="of a process")
    parser.add_argument(
        "--rate", type=float, default=100.0, help="requests a second, for percentiles"
    )
    parser.add_argument("--model-ms", type=float, default=0.0, help="for which the model sleeps")
    parser.add_argument("--binary", type=Path, help="perf_analyzer, where it can't be downloaded")
    parser.add_argument("--client", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        protocol, address, workers, users, seconds = options.client
        locust_client(protocol, address, int(workers), int(users), float(seconds))
    elif options.page:
        *outs, folder = options.page
        data = together([json.loads((o / "stress-rate.json").read_text("utf-8")) for o in outs])
        (folder / "stress-rate.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        (folder / "stress-rate.md").write_text(page(data), "utf-8")
    elif options.seconds * pa.WINDOWS <= 2 * pa.SETTLE_S:
        parser.error(f"--seconds must be above {2 * pa.SETTLE_S / pa.WINDOWS:.2g}")
    elif options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    else:
        measure(options)


if __name__ == "__main__":
    main()
