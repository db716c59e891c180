"""Locust with the harness's recorder beside the harness's own generator and perf_analyzer.

    .venv/bin/python benchmarks/stress_rate.py --output OUT
    .venv/bin/python benchmarks/stress_rate.py --page OUT … docs/benchmarks

How much load can a processor make, on one embedded Triton with the identity model of
benchmarks/perf_analyzer.py? A closed loop of `--users` users a process, over HTTP and gRPC:
Locust's engine of `harness stress` with 1, 2 and 4 workers, the wire client of `harness run` and
perf_analyzer with as many callers as one worker has. In each round every case is measured once, in
an order that turns; requests a second a core are those that the server counted in the window, by
the CPU time of the client's whole process tree in it (start-up is not in it).

Whether both see the same latencies: benchmarks/stress_percentiles.py.

In parts, each within `--limit` seconds and added to what OUT holds: `--protocols grpc`; `--without
perf_analyzer` where its binary can't be had.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import perf_analyzer as pa
from numpy.typing import NDArray

from harness.backends.base import ServerAddress
from harness.models.tensors import PreparedModel, TensorSpec
from harness.scenario.reading.loader import load
from harness.stress.execute import backend_of
from harness.swarm.generator import Generator, Where
from harness.swarm.plan import EnginePlan, make_plan
from harness.swarm.progress import read_records
from harness.swarm.recorder import merge
from harness.triton.server.install import find

PROTOCOLS = ("http", "grpc")
WORKERS = (1, 2, 4)
HEAD = """scenario: rate
model: {{name: identity, source: {{triton: identity}},
        inputs: {{name: INPUT0, dtype: float32, shape: [batch, 16]}}}}
backends: [{{kind: triton, protocol: {protocol}, server: {{url: "{address}"}}}}]
measurement: {{request_timeout: 10s}}
"""
USERS = "stress: {{shape: {{constant: {{users: {users}, duration: {seconds}s}}}}}}\n"


def planned(
    folder: Path, protocol: str, address: str, shape: str, workers: int = 1
) -> tuple[EnginePlan, list[dict[str, NDArray[np.float32]]]]:  # fmt: skip
    """What the engine of `harness stress` is told for a scenario with this `stress` section, and
    its inputs.
    """
    text = HEAD.format(protocol=protocol, address=address) + shape
    (folder / "stress.yaml").write_text(text, encoding="utf-8")
    loaded = load(folder / "stress.yaml")
    asked, answer = (TensorSpec(n, "float32", ("batch", 16)) for n in ("INPUT0", "OUTPUT0"))
    model = PreparedModel("identity", {"triton": "identity"}, "key", (asked,), (answer,))
    http, grpc = (address, None) if protocol == "http" else (None, address)
    where = ServerAddress(http, grpc, "identity")
    plan = make_plan(loaded, backend_of(loaded)[1], model, where, workers)
    random = np.random.default_rng(0)
    return plan, [{"INPUT0": random.random((1, 16), np.float32)} for _ in range(16)]


def locust_client(protocol: str, address: str, workers: int, users: int, seconds: float) -> None:
    """A closed loop by the engine of `harness stress`; what perf_analyzer's `--client` prints."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = USERS.format(users=users, seconds=seconds + 1)
        plan, inputs = planned(folder, protocol, address, shape, workers)
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


def mean(values: list[float]) -> str:
    """Geometric mean with its 95 % t-interval."""
    found = pa.interval(values)
    return f"{found['ratio']:,.0f} [{found['low']:,.0f}, {found['high']:,.0f}]"


def where(about: dict[str, object]) -> str:
    """What a part was measured with."""
    command, apart = re.subn(r" --protocols (http|grpc)\b", "", str(about["command"]))
    return (f"Written by `{command}`{', a protocol at a time,' if apart else ''} on "
            f"{about['cpus']} cores ({about['cpu']}) for client and server together. "
            "Identity model, 64 bytes.")  # fmt: skip


def page(data: dict[str, Any]) -> str:
    """The page of what is in stress-rate.json."""
    about, rate = data["about"], data["rates"]
    foreign = float(np.median([m["foreign"] for all_ in rate.values() for m in all_]))
    rounds = " to ".join(str(n) for n in sorted({len(all_) for all_ in rate.values()}))
    lines = [
        "# Locust beside the harness's own generator and perf_analyzer\n",
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
    return "\n".join([
        *lines,
        "\n`Locust, 4` is four workers and a master, as `harness stress --workers 4`; a worker has "
        "one core at most, and the master's is counted too. Where requests/s rise no more with "
        "workers, the server's one model instance answers no more: what a client could make is its "
        "requests/s a core for each core it has.\n",
    ])  # fmt: skip


def together(all_: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of several stress-rate.json as one; what is said about them is the first's."""
    found = dict(all_[0])
    for data in all_[1:]:
        mine, theirs = found["rates"], data["rates"]
        found["rates"] = {case: [*mine.get(case, []), *theirs.get(case, [])]
                          for case in sorted({*mine, *theirs})}  # fmt: skip
    return found


def save(options: argparse.Namespace, found: dict[str, list[Any]]) -> None:
    """Add to stress-rate.json; what it held of these cases before is replaced."""
    path = options.output / "stress-rate.json"
    data: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    data["about"] = {"command": pa.command_line().replace(str(options.output), "OUT"),
                     "cpus": len(os.sched_getaffinity(0)), "cpu": pa.cpu_name(),
                     "users": options.users}  # fmt: skip
    data["rates"] = dict(sorted({**data.get("rates", {}), **found}.items()))
    options.output.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> None:
    if "perf_analyzer" not in options.without:
        pa.perf_analyzer(find(), options.binary)
    with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
        found = rates(pa.Meter(server), options)
    save(options, {f"{p}, {c}": [asdict(m) for m in all_] for (p, c), all_ in found.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help="for stress-rate.json")
    parser.add_argument("--page", type=Path, nargs="+", metavar="OUT … FOLDER",
                        help="of the rounds of all OUT together")  # fmt: skip
    parser.add_argument("--protocols", nargs="*", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--without", nargs="*", default=[], help="clients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds of all rounds")
    parser.add_argument("--seconds", type=float, default=1.5, help="a third of each measurement")
    parser.add_argument("--users", type=int, default=8, help="of a process")
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
