"""The wire client and perf_analyzer, side by side on the same embedded Triton.

    .venv/bin/python benchmarks/perf_analyzer.py --rounds 7 --output docs/benchmarks

One Python-backend identity model, FP32[16], batch 1, over HTTP and gRPC, at concurrency 1 and 8;
other sizes, callers, generator processes and instances of the model with options::

    .venv/bin/python benchmarks/perf_analyzer.py --bytes 9600000 --callers 1,4,8 --processes 4 \\
        --instances 8 --seconds 4 --output docs/benchmarks --name perf_analyzer_large

In each round every case is measured with both clients, one right after the other, in alternating
order; only the ratios within a round are compared, so a machine that is busy in one round and
quiet in the next disturbs both alike. Intervals are t-intervals on the logarithm of the ratio.

Throughput and median latency are what each client reports itself; the server's own count of the
same window stands beside them. CPU time is that of the client's process over the window, from
/proc, divided by the requests that the server counted in it; start-up is not in it.

perf_analyzer comes in the manylinux wheel tritonclient==2.50.0, which is unpacked into a cache
(it is not installed: the environment keeps its own tritonclient). It needs libb64 and
libcudart.so.12; both came with the embedded Triton, under other names, and are linked from there.
Where no package index can be reached, `--binary` names a perf_analyzer that was unpacked before.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import psutil
from scipy import stats

from harness.triton.server.install import TritonInstall, find
from harness.triton.server.process import TritonServer

MODEL = "identity"
CODE = """import triton_python_backend_utils as pb


def same(request):
    tensor = pb.get_input_tensor_by_name(request, "INPUT0")
    return pb.InferenceResponse([pb.Tensor.from_dlpack("OUTPUT0", tensor.to_dlpack())])


class TritonPythonModel:
    def execute(self, requests):
        return [same(request) for request in requests]
"""
WHEEL = "tritonclient==2.50.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inference-harness"
CASES = [(protocol, concurrency) for protocol in ("http", "grpc") for concurrency in (1, 8)]
"""`--callers` changes them."""


def config_text(dim: int, instances: int) -> str:
    """The identity model's config.pbtxt; a `dim` of -1 takes any size."""
    return f"""backend: "python"
max_batch_size: 8
input {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ {dim} ] }}
output {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ {dim} ] }}
instance_group {{ count: {instances} kind: KIND_CPU }}
"""


@dataclass
class Shape:
    """What `--bytes`, `--processes` and `--instances` say."""

    floats: int = 16
    processes: int = 1
    instances: int = 1
    model_ms: float = 0.0
    """For how long the model sleeps at each request."""

    @property
    def large(self) -> bool:
        return self.floats * 4 >= 1_000_000


SHAPE = Shape()
LARGE_TARGET = ("≥", 1.3)
"""Of throughput, for requests of a megabyte and more."""
TARGETS = {
    ("http", 8, "throughput"): ("≥", 1.4),
    ("http", 1, "p50"): ("≤", 0.8),
    ("grpc", 8, "throughput"): ("≥", 1.3),
    ("grpc", 1, "p50"): ("≤", 0.95),
    **{(protocol, concurrency, "cpu"): ("≤", 0.5) for protocol, concurrency in CASES},
}
NAMES = {
    "throughput": "throughput",
    "p50": "median latency",
    "cpu": "client CPU a request",
    "server_cpu": "server CPU a request",
    "busiest": "busiest of the server's threads, of their CPU time",
}
SHOWN = {"throughput": "{:.0f}/s", "busiest": "{:.0%}"}
"""How a value is written that is not in µs."""
SETTLE_S = 0.5
STARTED = 200
WINDOWS = 3
ATTEMPTS = 20
FULL = 0.9
"""Share of the cores in use from which they are what bounds a case."""


class Window(TypedDict):
    """What `Measured` has of the server and the machine."""

    cpu: float
    server_cpu: float
    counted: float
    foreign: float
    busiest: float


@dataclass(frozen=True)
class Measured:
    """One client in one case of one round; CPU in µs a request, latency in µs."""

    throughput: float
    p50: float
    cpu: float
    server_cpu: float
    counted: float
    """Requests a second by the server's count, in the window of the CPU time."""
    foreign: float
    """Cores that other processes used meanwhile."""
    busiest: float
    """Share of the server's busiest thread in the CPU time of its threads (its models' processes
    aside): near 1 where one HTTP thread has all connections."""
    invalid: tuple[str, ...] = ()
    """Why Little's law makes this point INVALID; of the wire client only."""


# ------------------------------------------------------------------------------------- set up


def perf_analyzer(
    install: TritonInstall, binary: Path | None = None
) -> tuple[Path, dict[str, str]]:
    """The binary and the environment it runs in; the first time it is downloaded and unpacked, or
    copied from `binary`.
    """
    home = CACHE / "perf_analyzer-2.50.0"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent) as folder:
            made = Path(folder, "home")
            made.mkdir()
            if binary is None:
                unpack(Path(folder), made)
            else:
                shutil.copy(binary, made / "perf_analyzer")
            (made / "perf_analyzer").chmod(0o755)
            for name, pattern in (("libb64.so.0d", "libb64-*"), ("libcudart.so.12", "libcudart-*")):
                (made / name).symlink_to(next(install.libraries.glob(pattern)))
            try:
                made.rename(home)
            except OSError:  # another process was first
                if not home.is_dir():
                    raise
    return home / "perf_analyzer", {**os.environ, "LD_LIBRARY_PATH": str(home)}


def unpack(folder: Path, home: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, "--platform", "manylinux1_x86_64", WHEEL], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
        (home / "perf_analyzer").write_bytes(archive.read(member))


def code(ms: float) -> str:
    """The identity model's model.py; with `ms` it sleeps so long at each request."""
    sleeps = f"def same(request):\n    time.sleep({ms / 1e3})"
    return "import time\n\n" + CODE.replace("def same(request):", sleeps) if ms else CODE


def serve(folder: Path, install: TritonInstall) -> TritonServer:
    version = folder / "repository" / MODEL / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(code(SHAPE.model_ms))
    (version.parent / "config.pbtxt").write_text(config_text(-1, SHAPE.instances))
    server = TritonServer.start(install, folder / "repository", log=folder / "triton.log")
    server.load(MODEL)
    return server


# ------------------------------------------------------------------------------------ measure


def threads_ns(pid: int) -> dict[str, int]:
    """CPU time of each thread of a process, to the nanosecond."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[task.name] = int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):  # it ended; steady clients have none
            continue
    return found


def busiest(before: dict[str, int], after: dict[str, int]) -> float:
    """Of what a process's threads used between two `threads_ns`, the share of the busiest."""
    used = [ns - before.get(thread, 0) for thread, ns in after.items()]
    return max(used) / sum(used)


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, to the nanosecond."""
    return sum(threads_ns(pid).values())


def tree_ns(pid: int) -> int:
    root = psutil.Process(pid)
    return sum(cpu_ns(p.pid) for p in [root, *root.children(recursive=True)])


def busy_ns() -> int:
    times = psutil.cpu_times()
    return int((sum(times) - times.idle - times.iowait - times.guest - times.guest_nice) * 1e9)


class FailedError(Exception):
    """A client ended with an error."""


class Meter:
    """Reads counts and CPU times of a window; the client says how long it runs."""

    def __init__(self, server: TritonServer) -> None:
        import tritonclient.grpc

        self.server = server
        self.client = tritonclient.grpc.InferenceServerClient(server.grpc)

    def count(self) -> int:
        found = self.client.get_inference_statistics(MODEL).model_stats[0]
        return int(found.inference_stats.success.count)

    def read(self, pid: int) -> tuple[int, ...]:
        return time.monotonic_ns(), self.count(), tree_ns(pid), tree_ns(self.server.pid), busy_ns()

    def run(self, command: list[str], env: dict[str, str], seconds: float) -> tuple[str, Window]:
        """Run a client; its output, and what the window of `seconds` inside its run showed.

        The window begins once the server sees its load, so start-up and imports are not in it.
        """
        before = self.count()
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        out: list[str] = []
        reader = threading.Thread(target=lambda: out.append(process.communicate()[0]))
        reader.start()
        started = 5 if SHAPE.large else STARTED
        while self.count() < before + started and process.poll() is None:
            time.sleep(0.02)
        time.sleep(SETTLE_S)
        try:
            threads = threads_ns(self.server.pid)
            begin = self.read(process.pid)
            time.sleep(seconds)
            end = self.read(process.pid)
            share = busiest(threads, threads_ns(self.server.pid))
        except (FileNotFoundError, psutil.NoSuchProcess):
            reader.join()
            raise FailedError(f"{command[0]} ended early: {out[0]}") from None
        reader.join()
        if process.returncode:
            raise FailedError(f"{command[0]} ended with {process.returncode}: {out[0]}")
        wall, count, client, server, busy = (b - a for a, b in zip(begin, end, strict=True))
        return out[0], {
            "counted": count / wall * 1e9,
            "cpu": client / count / 1e3,
            "server_cpu": server / count / 1e3,
            "foreign": max(0.0, busy - client - server) / wall,
            "busiest": share,
        }


def random_request(where: str, floats: int) -> bytes:
    """An HTTP request of random values for the model on the server at `where`."""
    from tritonclient.http import InferInput

    from harness.load.wire.requests import http_request

    tensor = InferInput("INPUT0", [1, floats], "FP32")
    tensor.set_data_from_numpy(np.random.default_rng(0).random((1, floats), np.float32))
    return http_request(where, MODEL, [tensor])


def address(server: TritonServer, protocol: str) -> str:
    return server.http if protocol == "http" else server.grpc


def theirs(meter: Meter, protocol: str, concurrency: int, seconds: float) -> Measured:
    """perf_analyzer with a fixed number of windows, so that it never stops early or goes on."""
    binary, env = perf_analyzer(find())
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        command = [
            str(binary), "-m", MODEL, "-i", protocol, "-u", address(meter.server, protocol),
            "--concurrency-range", str(concurrency), "-p", str(round(seconds * 1000)),
            "-r", str(WINDOWS), "-s", "999", "--percentile", "50", "-f", file.name,
            "--shape", f"INPUT0:{SHAPE.floats}",
        ]  # fmt: skip
        _, window = meter.run(command, env, seconds * WINDOWS - 2 * SETTLE_S)
        (row,) = csv.DictReader(Path(file.name).read_text().splitlines())
    return Measured(float(row["Inferences/Second"]), float(row["p50 latency"]), **window)


def ours(meter: Meter, protocol: str, concurrency: int, seconds: float) -> Measured:
    """The wire client in a process of its own, for as long as perf_analyzer takes."""
    command = [
        sys.executable, __file__, "--client", protocol, address(meter.server, protocol),
        str(concurrency), str(seconds * WINDOWS), str(SHAPE.floats), str(SHAPE.processes),
    ]  # fmt: skip
    text, window = meter.run(command, dict(os.environ), seconds * WINDOWS - 2 * SETTLE_S)
    return Measured(**json.loads(text), **window)


def client(
    protocol: str, where: str, concurrency: int, seconds: float, floats: int, processes: int
) -> None:  # fmt: skip
    """What `ours` runs."""
    from harness.load.wire.generator import run
    from harness.load.wire.plan import Plan
    from harness.load.wire.requests import decode_grpc, decode_http, grpc_request, http_request
    from harness.measure.validity import check_little
    from harness.results.samples import OK

    random, made, arrays = np.random.default_rng(0), [], []
    for _ in range(16 if floats < 1 << 16 else 2):
        arrays.append(random.random((1, floats), np.float32))
        if protocol == "http":
            from tritonclient.http import InferInput
        else:
            from tritonclient.grpc import InferInput
        tensor = InferInput("INPUT0", [1, floats], "FP32")
        tensor.set_data_from_numpy(arrays[-1])
        if protocol == "http":
            made.append(http_request(where, MODEL, [tensor]))
        else:
            made.append(grpc_request(MODEL, [tensor]))
    generator = run(Plan(protocol, where, tuple(made), concurrency, 10.0), processes)
    generator.start()
    time.sleep(seconds + SETTLE_S)
    samples = generator.stop(10.0)
    assert (samples.status == OK).all(), samples.messages
    decode = decode_http if protocol == "http" else decode_grpc
    for index, raw in generator.sampled():
        assert isinstance(raw, bytes)
        assert (decode(raw)["OUTPUT0"] == arrays[index]).all()
    begin = samples.done[-1] - int(seconds * 1e9)
    findings = check_little(samples, int(begin), int(samples.done[-1]), concurrency)
    latency = (samples.done - samples.sent)[samples.done > begin]
    print(json.dumps({
        "throughput": len(latency) / seconds, "p50": np.median(latency) / 1e3,
        "invalid": [finding.seen for finding in findings],
    }))  # fmt: skip


# ------------------------------------------------------------------------------------ compare


Client = Callable[[Meter, str, int, float], Measured]


def measure_all(
    meter: Meter, rounds: int, seconds: float, quiet: float
) -> dict[tuple[str, int], list[tuple[Measured, Measured]]]:
    """For each case and round: ours and theirs, measured one after the other."""
    found: dict[tuple[str, int], list[tuple[Measured, Measured]]] = {case: [] for case in CASES}
    for number in range(rounds):
        for index, case in enumerate(CASES):
            order: list[Client] = [ours, theirs]
            if (number + index) % 2:
                order.reverse()
            a, b = quiet_pair(meter, case, seconds, order, quiet)
            found[case].append((a, b))
            print(
                f"round {number + 1}/{rounds} {case[0]} c{case[1]}: throughput "
                f"{a.throughput:.0f} / {b.throughput:.0f} = {a.throughput / b.throughput:.2f}, "
                f"p50 {a.p50:.0f} / {b.p50:.0f} µs = {a.p50 / b.p50:.2f}, "
                f"CPU {a.cpu:.0f} / {b.cpu:.0f} µs = {a.cpu / b.cpu:.2f}, "
                f"others {max(a.foreign, b.foreign):.2f} cores",
                flush=True,
            )
    return found


def quiet_pair(
    meter: Meter, case: tuple[str, int], seconds: float, order: list[Client], quiet: float
) -> tuple[Measured, Measured]:
    """Ours and theirs, again if others used more than `quiet` cores meanwhile.

    What is selected on is the other processes' CPU time, never a result.
    """
    why = ""
    for _ in range(ATTEMPTS):
        try:
            pair = {f.__name__: f(meter, *case, seconds) for f in order}
        except FailedError as error:  # perf_analyzer gives up where its windows differ too much
            print(error, file=sys.stderr)
            why = str(error)
            continue
        if max(m.foreign for m in pair.values()) <= quiet:
            break
        why = f"others used more than {quiet:g} cores"
    else:
        raise SystemExit(f"no good pair in {ATTEMPTS} attempts; of the last one: {why}")
    return pair["ours"], pair["theirs"]


def interval(ratios: list[float]) -> dict[str, float]:
    """Geometric mean and its 95 % t-interval on the log."""
    logs = np.log(ratios)
    half = float(stats.t.ppf(0.975, len(logs) - 1)) * logs.std(ddof=1) / math.sqrt(len(logs))
    low, mid, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return {"ratio": float(mid), "low": float(low), "high": float(high)}


def verdict(case: tuple[str, int], metric: str, ratio: float) -> str:
    targets = {(*case, "throughput"): LARGE_TARGET} if SHAPE.large else TARGETS
    if (*case, metric) not in targets:
        return ""
    sign, target = targets[(*case, metric)]
    met = ratio >= target if sign == "≥" else ratio <= target
    return f"{sign} {target:g}: {'met' if met else 'missed'}"


def rows(found: dict[tuple[str, int], list[tuple[Measured, Measured]]]) -> list[dict[str, object]]:
    out: list[dict[str, object]] = []
    for case, pairs in found.items():
        for metric in NAMES:
            mine, other = ([getattr(p[i], metric) for p in pairs] for i in (0, 1))
            ratio = interval([a / b for a, b in zip(mine, other, strict=True)])
            out.append({
                "protocol": case[0], "concurrency": case[1], "metric": metric,
                "ours": float(np.median(mine)), "theirs": float(np.median(other)), **ratio,
                "target": verdict(case, metric, ratio["ratio"]),
            })  # fmt: skip
    return out


def table(results: list[dict[str, object]], about: dict[str, Any]) -> str:
    quiet, again = about.get("quiet"), ""
    if quiet is not None:
        again = f" A pair was measured again if others used more than {quiet:g} cores."
    lines = [
        "# The wire client against perf_analyzer", "",
        f"Requests of {SHAPE.floats * 4:,} bytes, {SHAPE.instances} instance(s) of the model, "
        f"the wire client in {SHAPE.processes} process(es). "
        f"{about['rounds']} interleaved rounds; {about['cpus']} cores ({about['cpu']}) for client "
        f"and server together; other processes used {about['foreign']:.2f} cores in the median. "
        "Values are medians over the rounds, ratios are geometric means of ours / perf_analyzer's "
        "within a round, with 95 % t-intervals." + again, "",
        "| protocol | concurrency | | ours | perf_analyzer | ratio | 95 % interval | target |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for r in results:
        show = SHOWN.get(str(r["metric"]), "{:.0f} µs").format
        lines.append(
            f"| {r['protocol']} | {r['concurrency']} | {NAMES[str(r['metric'])]} "
            f"| {show(r['ours'])} | {show(r['theirs'])} | {r['ratio']:.2f} "
            f"| {r['low']:.2f}–{r['high']:.2f} | {r['target']} |"
        )
    lines += ["", *map(str, about["invalid"]), "", *bounds(results, int(str(about["cpus"])))]
    return "\n".join([*lines, "", f"Reproduce: `{about['command']}`", ""])


def bounds(results: list[dict[str, object]], cpus: int) -> list[str]:
    """What holds each case: the cores, or waiting for one request's way through the server."""
    values = {
        (r["protocol"], r["concurrency"], r["metric"], who): float(str(r[who]))
        for r in results
        for who in ("ours", "theirs")
    }
    lines = ["What bounds each (from the medians above):", ""]
    for protocol, concurrency in CASES:
        parts = []
        for who, name in (("ours", "the wire client"), ("theirs", "perf_analyzer")):
            rate, mine, server = (
                values[protocol, concurrency, metric, who]
                for metric in ("throughput", "cpu", "server_cpu")
            )
            parts.append(
                f"{name} and the server use {rate * (mine + server) / 1e6:.1f} of {cpus} cores, "
                f"the client {mine / (mine + server):.0%} of that"
            )
        used = max(
            values[protocol, concurrency, "throughput", who]
            * sum(values[protocol, concurrency, m, who] for m in ("cpu", "server_cpu"))
            for who in ("ours", "theirs")
        )
        why = (
            "one request after the other, so the time is the sum of its hops, mostly in the server"
            if concurrency == 1
            else "the cores: what the client doesn't use, the server has"
            if used > FULL * cpus * 1e6
            else f"the way from thread to thread in the server, of whose {SHAPE.instances} "
            "instance(s) each takes one request at a time: cores are left idle"
        )
        lines.append(f"* {protocol}, concurrency {concurrency}: {why}. {'; '.join(parts)}.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each of the three windows")
    parser.add_argument(
        "--quiet", type=float, default=math.inf, metavar="CORES",
        help="measure a pair again if other processes used more than this meanwhile",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="folder for perf_analyzer.json and .md")
    parser.add_argument("--bytes", type=int, default=64, help="of a request's tensor")
    parser.add_argument("--callers", default="1,8", help="concurrencies, such as 1,4,8")
    parser.add_argument("--protocols", default="http,grpc", help="one of them, or both")
    parser.add_argument("--processes", type=int, default=1, help="of the wire client")
    parser.add_argument("--instances", type=int, default=1, help="of the model on the server")
    parser.add_argument("--name", default="perf_analyzer", help="of the files in --output")
    parser.add_argument("--binary", type=Path, help="perf_analyzer, where it can't be downloaded")
    parser.add_argument("--client", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        protocol, where, concurrency, seconds, floats, processes = options.client
        client(protocol, where, int(concurrency), float(seconds), int(floats), int(processes))
        return
    SHAPE.floats, SHAPE.processes = options.bytes // 4, options.processes
    SHAPE.instances = options.instances
    CASES[:] = [
        (p, int(c)) for p in options.protocols.split(",") for c in options.callers.split(",")
    ]
    if options.rounds < 2:
        parser.error("an interval needs at least two rounds")
    perf_analyzer(find(), options.binary)
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder), find()) as server:
        found = measure_all(Meter(server), options.rounds, options.seconds, options.quiet)
    results = rows(found)
    invalid = [
        f"* INVALID: {p}, concurrency {c}, round {n}: {', '.join(ours.invalid)}."
        for (p, c), pairs in found.items() for n, (ours, _) in enumerate(pairs, 1) if ours.invalid
    ]  # fmt: skip
    about: dict[str, Any] = {
        "command": command_line(),
        "rounds": options.rounds, "seconds": options.seconds, "cpus": len(os.sched_getaffinity(0)),
        "invalid": invalid or [f"All {sum(map(len, found.values()))} points of the wire client "
                               "hold Little's law: none is INVALID."],
        "quiet": options.quiet if math.isfinite(options.quiet) else None,
        "cpu": cpu_name(), "python": platform.python_version(),
        "foreign": float(np.median([m.foreign for ps in found.values() for p in ps for m in p])),
    }  # fmt: skip
    text = table(results, about)
    print(f"\n{text}")
    if options.output:
        raw = {
            f"{p} {c}": [[asdict(m) for m in pair] for pair in ps] for (p, c), ps in found.items()
        }
        options.output.mkdir(parents=True, exist_ok=True)
        data = {"about": about, "results": results, "rounds": raw}
        (options.output / f"{options.name}.json").write_text(json.dumps(data, indent=1) + "\n")
        (options.output / f"{options.name}.md").write_text(text)


def command_line() -> str:
    """How this was called, for the page; where perf_analyzer lay matters to nobody else."""
    name, words = f"benchmarks/{Path(sys.argv[0]).name}", sys.argv[1:]
    if "--binary" in words:
        at = words.index("--binary")
        del words[at : at + 2]
    return shlex.join([".venv/bin/python", name, *words])


def page_options(parser: argparse.ArgumentParser, name: str) -> None:
    """What the benchmarks beside this one take that measure on its server."""
    parser.add_argument("--binary", type=Path, help="perf_analyzer, where it can't be downloaded")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks"))
    parser.add_argument("--name", default=name, help="of the files in --output")


def write_page(asked: argparse.Namespace, text: str, data: object) -> None:
    """The page and its data, where `page_options` say."""
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / f"{asked.name}.md").write_text(text)
    (asked.output / f"{asked.name}.json").write_text(json.dumps(data, indent=1) + "\n")
    print(text)


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
