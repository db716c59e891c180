"""Do `harness stress` and `harness run` see the same latencies of the same load?

    .venv/bin/python benchmarks/stress_percentiles.py --output OUT --realtime
    .venv/bin/python benchmarks/stress_percentiles.py --page OUT … docs/benchmarks

Locust with our recorder, as of `harness stress`, and the wire client of `harness run`, on one
embedded Triton with the identity model of benchmarks/perf_analyzer.py: as it is, and with a sleep
of `--model-ms` at each request, four of them at a time. Two measurements one after the other would
compare two moments of a machine, which differ by 10 to 30 %. So both clients run at once, from one
schedule: Poisson arrivals at `--rate` without a break, cut into stretches of `STRETCH_S`, of which
the clients send in turns (of each two one, in random order). The server sees one load, and a stall
of the machine hits both. In the second half of a round the same arrivals come again with the turns
exchanged, so that both have had the same bursts.

In each round both processes are fresh. A client's percentile is that of its requests of all rounds
with the interval of harness/analysis/tails.py. That of the ratio is made likewise: the t over
rounds of the log of the ratio in each, or the jackknife that leaves out one of five stretches of a
round of both clients at once, whichever is wider. They agree where the intervals of both overlap,
and that of the ratio holds 1 or lies within ±5 %.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import perf_analyzer as pa
import psutil
from numpy.typing import NDArray
from stress_rate import planned

from harness.analysis.intervals import Interval, log_t_interval, t_quantile
from harness.analysis.tails import percentile_over_rounds, pooled
from harness.load.schedule import Segment, make_schedule
from harness.load.wire.helper import READY, ROW, pack
from harness.load.wire.plan import Order, Plan
from harness.load.wire.requests import grpc_request, http_request
from harness.measure.distribution import counts_of
from harness.measure.quantiles import QUANTILES, percentiles
from harness.results.details import LatencyCounts
from harness.results.samples import OK, Int64, Samples
from harness.swarm.generator import Generator, Where
from harness.swarm.progress import read_records
from harness.swarm.recorder import merge
from harness.system.child import Child
from harness.system.files import reserve
from harness.triton.server.install import find

NAME = "stress-percentiles"
PROTOCOLS, SHOWN = ("http", "grpc"), ("p50", "p99")
CLIENTS = ("stress", "run")
SLOTS, TIMEOUT_S = 256, 10.0
"""As both commands have them by themselves."""
INSTANCES = 4
"""Of the model that sleeps."""
STRETCH_S, WARM_S = 0.05, 1.0
WITHIN = 0.05
REALTIME = ", which go before all other processes (SCHED_FIFO)"
TRACE = 'stress: {{shape: {{trace: {{file: "{file}"}}}}}}\n'


class Found(TypedDict):
    """One client in one round."""

    ms: dict[str, float]
    counts: LatencyCounts
    late_us: dict[str, float]
    """From when a request was due to when it was sent."""


Round = dict[str, Found]
"""By client."""


def dealt(rate: float, seconds: float, seed: int) -> dict[str, Int64]:
    """Each client's arrivals, ns from the begin of the load: `WARM_S`, then half of `seconds`, and
    the same half again with the clients' turns exchanged.
    """
    warm, half = (
        make_schedule([Segment(rate, rate, s)], "poisson", seed=seed) for s in (WARM_S, seconds / 2)
    )
    first = np.random.default_rng(seed).integers(0, 2, int(seconds / STRETCH_S) + 1)
    turns = np.stack([first, 1 - first], axis=1).ravel()
    of_warm, of_half = (turns[(due / 1e9 / STRETCH_S).astype(int)] for due in (warm, half))
    begin, again = (round(1e9 * s) for s in (WARM_S, WARM_S + seconds / 2))
    due = np.concatenate([warm, half + begin, half + again])
    owner = np.concatenate([of_warm, of_half, 1 - of_half])
    return {client: due[owner == number] for number, client in enumerate(CLIENTS)}


def messages(
    protocol: str, address: str, inputs: Sequence[Mapping[str, NDArray[np.float32]]]
) -> tuple[bytes, ...]:
    """The requests as the wire client sends them."""
    library, made = importlib.import_module(f"tritonclient.{protocol}"), []
    for tensors in inputs:
        tensor = library.InferInput("INPUT0", list(tensors["INPUT0"].shape), "FP32")
        tensor.set_data_from_numpy(tensors["INPUT0"])
        http = protocol == "http"
        made.append(
            http_request(address, pa.MODEL, [tensor]) if http else grpc_request(pa.MODEL, [tensor])
        )
    return tuple(made)


def used() -> tuple[float, int, int]:
    """The time in s, and the CPU time in ns that all processes, and ours, have had."""
    return time.monotonic(), pa.busy_ns(), pa.tree_ns(os.getpid())


def wire_client(folder: Path, plan: Plan) -> Child:
    """Connected, in a process of its own, as Locust is: it begins at the moment that it is sent,
    and leaves its samples in 0.npz when it is sent for how long to wait for what is open.
    """
    reserve(folder / "live", 8 * ROW)
    client = Child("the wire client", "harness.load.wire.helper")
    client.send(pack(Order(0, str(folder), plan, ())))
    if client.line(TIMEOUT_S) != READY:
        raise SystemExit("the wire client is not ready")
    return client


def alternated(
    protocol: str, address: str, rate: float, seconds: float, seed: int
) -> tuple[Round, float]:
    """Both clients in turns; and the cores that other processes used meanwhile."""
    due = dealt(rate, seconds, seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trace = folder / "trace.txt"  # its first arrival is the begin of the load
        times = [0, *due["stress"].tolist()]
        trace.write_text("\n".join(f"{t / 1e9:.9f}" for t in times), encoding="utf-8")
        shape = TRACE.format(file=trace)
        plan, inputs = planned(folder, protocol, address, shape)
        asked = messages(protocol, address, inputs)
        wire = Plan(protocol, address, asked, SLOTS, TIMEOUT_S, schedule=due["run"])
        engine = Generator(
            plan, inputs, Where(), folder=folder / "out", logs=folder, base=folder
        )  # fmt: skip
        with wire_client(folder, wire) as client, engine:
            for event in engine.events():
                if event.get("event") == "started":
                    begin = int(event["at_ns"])
                    client.send(pack(begin))
                    before = now = used()
                elif event.get("event") == "progress":
                    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
                        now = used()  # or not, where a process ends meanwhile
            client.send(pack(TIMEOUT_S))
            while client.alive:
                time.sleep(0.01)
        theirs = merge(read_records(folder / "out")).samples
        samples = {"stress": theirs, "run": Samples.load(folder / "0.npz")}
    wall, busy, ours = (b - a for a, b in zip(before, now, strict=True))
    warm = begin + int(WARM_S * 1e9)
    return {c: found(s, warm) for c, s in samples.items()}, max(0.0, busy - ours) / max(
        wall, 1e-3
    ) / 1e9


def found(samples: Samples, begin: int) -> Found:
    """Of what was due from `begin` on."""
    order = np.argsort(samples.scheduled, kind="stable")
    order = order[samples.scheduled[order] >= begin]
    scheduled, sent, done = (x[order] for x in (samples.scheduled, samples.sent, samples.done))
    failed = samples.status[order] != OK
    ms, counts = percentiles(done - scheduled, failed), counts_of(done - scheduled, failed)
    if counts is None or any(ms[p] is None for p in SHOWN):
        raise SystemExit(f"too few requests were answered: {len(order)}; {samples.messages}")
    late = {
        p: float(np.percentile((sent - scheduled) / 1e3, float(QUANTILES[p]) * 100)) for p in SHOWN
    }
    return {"ms": {p: float(cast(float, ms[p])) for p in SHOWN}, "counts": counts, "late_us": late}


# ------------------------------------------------------------------------------------- measure


def rounds(options: argparse.Namespace, server: Any) -> Iterator[tuple[str, Round, float]]:
    """One protocol after the other in each round, as many as the limit allows, two at least."""
    begin, longest = time.monotonic(), 0.0
    for number in range(options.rounds):
        at = time.monotonic()
        if number >= 2 and at - begin + longest > options.limit:
            return
        for protocol in options.protocols[:: 1 if number % 2 else -1]:
            one, foreign = alternated(
                protocol, pa.address(server, protocol), options.rate, options.seconds,
                options.seed + number,
            )  # fmt: skip
            yield protocol, one, foreign
        longest = max(longest, time.monotonic() - at)


def measure(options: argparse.Namespace) -> None:
    """Every round is written when it is over."""
    path = options.output / f"{NAME}.json"
    options.output.mkdir(parents=True, exist_ok=True)
    about = {"command": pa.command_line().replace(str(options.output), "OUT"),
             "cpus": len(os.sched_getaffinity(0)), "cpu": pa.cpu_name(), "rate": options.rate,
             "seconds": options.seconds, "realtime": options.realtime}  # fmt: skip
    cases: dict[str, dict[str, Any]] = {}
    for ms in options.model_ms:
        pa.SHAPE.model_ms, pa.SHAPE.instances = ms, INSTANCES if ms else 1
        with tempfile.TemporaryDirectory() as folder, pa.serve(Path(folder), find()) as server:
            for protocol, one, foreign in rounds(options, server):
                case = cases.setdefault(f"{ms:g} {protocol}", {"rounds": [], "foreign": []})
                case["rounds"].append(one)
                case["foreign"].append(foreign)
                words = " ".join(
                    f"{p} {one['stress']['ms'][p]:.3f} / {one['run']['ms'][p]:.3f} ms"
                    for p in SHOWN
                )
                print(f"{ms:g} ms {protocol}: {words}, others {foreign:.2f} cores", flush=True)
                data = {"about": about, "cases": cases}
                path.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    print(page(data))


# ----------------------------------------------------------------------------------- the page


def ratio_of(percentile: str, all_: Sequence[Round]) -> Interval:
    """Of the percentiles of all requests, `stress` over `run`."""
    q = float(QUANTILES[percentile])
    a, b = (pooled([one[client]["counts"] for one in all_]).quantiles_ns(q) for client in CLIENTS)
    value = float(a[0] / b[0])
    over = log_t_interval([one["stress"]["ms"][percentile] / one["run"]["ms"][percentile]
                           for one in all_]).half_width  # fmt: skip
    left_out = np.log(a[1:] / b[1:])
    n = len(left_out)
    jackknife = t_quantile(0.975, n - 1) * (n - 1) * float(left_out.std()) / math.sqrt(n - 1)
    half = max(jackknife, math.inf if over is None else over)
    return Interval(value, value * math.exp(-half), value * math.exp(half), len(all_))


def agree(ratio: Interval, mine: Sequence[Interval]) -> str:
    """Whether both conditions hold, in words."""
    low, high = cast(float, ratio.low), cast(float, ratio.high)
    ends = [(cast(float, i.low), math.inf if i.high is None else i.high) for i in mine]
    overlap = max(e[0] for e in ends) <= min(e[1] for e in ends)
    close = low >= 1 - WITHIN and high <= 1 + WITHIN
    ratio_says = (
        "holds 1" if low <= 1 <= high else f"within ±{WITHIN * 100:g} %" if close else "neither"
    )
    says = "overlap" if overlap else "apart"
    return f"{says}; {ratio_says} | {'yes' if overlap and ratio_says != 'neither' else 'no'}"


def shown(interval: Interval) -> str:
    low, high = interval.low, interval.high
    ends = f"{low:.3f}, {'…' if high is None else f'{high:.3f}'}" if low is not None else "…"
    return f"{interval.value:.3f} [{ends}]"


def rows(name: str, case: Mapping[str, Any]) -> Iterator[str]:
    """The table's lines of one model and protocol."""
    ms, protocol = name.split()
    all_: Sequence[Round] = case["rounds"]
    for p in SHOWN:
        mine = [
            percentile_over_rounds(
                p, [one[c]["ms"][p] for one in all_], [one[c]["counts"] for one in all_]
            )
            for c in CLIENTS
        ]
        late = " / ".join(f"{np.median([one[c]['late_us'][p] for one in all_]) / 1e3:.3f}"
                          for c in CLIENTS)  # fmt: skip
        ratio = ratio_of(p, all_)
        yield (f"| {f'sleeps {ms} ms' if float(ms) else 'identity'} | {protocol} | {p} | "
               f"{shown(mine[0])} | {shown(mine[1])} | {shown(ratio)} | {late} | "
               f"{agree(ratio, mine)} |")  # fmt: skip


def page(data: Mapping[str, Any]) -> str:
    """The page of what is in the JSON file."""
    about, cases = data["about"], data["cases"]
    counts = sorted({len(case["rounds"]) for case in cases.values()})
    requests = sorted(
        sum(int(pooled([one[c]["counts"]]).counts.sum()) for one in case["rounds"])
        for case in cases.values() for c in CLIENTS
    )  # fmt: skip
    foreign = float(np.median([f for case in cases.values() for f in case["foreign"]]))
    first = REALTIME if about["realtime"] else ""
    return "\n".join([
        "# `harness stress` beside `harness run`: the same percentiles?\n",
        f"Written by `{about['command']}` on {about['cpus']} cores ({about['cpu']}) for clients "
        f"and server together{first}; other processes used {foreign:.2f} cores in the median. "
        "Locust with the harness's recorder and the wire client send in turns, "
        f"{STRETCH_S:g} s each in random order, out of one schedule of Poisson arrivals at "
        f"{about['rate']:g} requests a second: the server sees one load, and both clients the "
        "same moments of the machine; then the same again with the turns exchanged, so that both "
        f"had the same bursts. {' to '.join(map(str, counts))} rounds of {about['seconds']:g} s "
        f"with fresh processes, {requests[0]:,} to {requests[-1]:,} requests a client in all; "
        f"64 bytes each. The model that sleeps has {INSTANCES} instances.\n",
        "Response times, from when a request was due, in ms, of all rounds with 95 % intervals "
        "([as everywhere](../measurement.md)); the ratio's is made likewise, leaving out the same "
        "stretches of both. They agree where both intervals overlap, and the ratio's holds 1 or "
        f"lies within ±{WITHIN * 100:g} %. Late is from when a request was due to when it was "
        "sent.\n",
        "| model | protocol | | stress (Locust) | run (wire client) | ratio | late, ms | intervals "
        "| agree |",
        "|---|---|---|---|---|---|---|---|---|",
        *(row for name, case in cases.items() for row in rows(name, case)), "",
    ])  # fmt: skip


def together(all_: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The rounds of several files as one; what is said about them is the first's."""
    found = dict(all_[0])
    for data in all_[1:]:
        for name, case in data["cases"].items():
            mine = found["cases"].setdefault(name, {"rounds": [], "foreign": []})
            for key, values in case.items():
                mine[key] += values
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("out"), help=f"for {NAME}.json")
    parser.add_argument("--page", type=Path, nargs="+", metavar="OUT … FOLDER",
                        help="of the rounds of all OUT together")  # fmt: skip
    parser.add_argument("--protocols", nargs="*", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--model-ms", type=float, nargs="*", default=[0.0, 10.0],
                        help="for which the model sleeps")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds of a model's rounds")
    parser.add_argument("--seconds", type=float, default=12.0, help="of a round")
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    words = "clients and server go before all other processes (SCHED_FIFO)"
    parser.add_argument("--realtime", action="store_true", help=words)
    options = parser.parse_args()
    if options.page:
        *outs, folder = options.page
        data = together([json.loads((o / f"{NAME}.json").read_text("utf-8")) for o in outs])
        (folder / f"{NAME}.json").write_text(json.dumps(data, indent=1) + "\n", "utf-8")
        (folder / f"{NAME}.md").write_text(page(data), "utf-8")
    elif options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    else:
        if options.realtime:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
        measure(options)


if __name__ == "__main__":
    main()
