"""What a plan asks for, against the least that works: under CUDA MPS, in sessions of the harness.

    PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT [--seconds 600] [--cases CASE …]
    PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT --render docs/benchmarks

Each case is one configuration of ResNet-50 or of a small transformer, in the order of `CASES`.
`harness run` measures it in two sessions of its own: its peak, and the request that a plan makes of
it. Then sessions under a cap, each with its control and a daemon of its own: the request, and from
the predicted smallest outward until one fails and one holds, and between them by bisection. A
session holds where it loads and answers a short load without an error: memory alone decides here,
so its speed is not judged, no window waits for the requests of a p99, and another call may measure
other cases on the same GPU (`--beside`, and `--merge` at the end). A case whose trials had
`--case-seconds` says what it has shown so far. A later call with the same --output begins no case
again whose search has ended. `disarmed` is a case too, where it is named: the six ways in which a
cap is off. With --device cpu the cap is one of host memory, to try the script.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gpubench
import numpy as np
from capped import Sessions, Trial, search
from pages import Page, opening, table

from harness.analysis.summary import SummaryRow, summarize
from harness.errors import LimitError
from harness.plan.candidates import Candidate
from harness.plan.sizing import Processes, need_of
from harness.report.model.decision import MARGIN, with_margin
from harness.results.rows import ServerOnlyRow
from harness.results.series import Quantity, each, read_parquet
from harness.results.store import RunData, read_run
from harness.run.execute import start
from harness.scenario.reading.loader import LoadedScenario, load_text
from harness.scenario.spec.scenario import Scenario
from harness.scenario.wording import signed
from harness.system.limits.gpu import gpu_memory

HERE = Path(__file__).parent
MIB = 2**20
ENCODER = {
    "name": "encoder",
    "source": {"torch": "small_model:encoder", "seed": 0},
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 128, 512]}],
}
MODELS: Mapping[str, Mapping[str, Any]] = {"resnet50": gpubench.RESNET50, "encoder": ENCODER}
TORCH = {"kind": "torch", "device": "cuda", "precision": "fp32"}
ORT = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider", "precision": "fp32"}
TRT = {"kind": "tensorrt", "precision": "fp32"}
SERVED = {"kind": "triton", "protocol": "grpc", "serve": "onnxruntime", "device": "cuda"}
BACKENDS: Mapping[str, Mapping[str, Any]] = {
    "torch": TORCH, "onnxruntime": ORT, "tensorrt": TRT, "triton-1": {**SERVED, "instances": 1},
    "triton-2": {**SERVED, "instances": 2},
}  # fmt: skip
CASES = (
    "resnet50/torch", "resnet50/onnxruntime", "resnet50/triton-2", "encoder/torch",
    "resnet50/tensorrt", "encoder/tensorrt", "resnet50/triton-1", "encoder/onnxruntime",
    "encoder/triton-2", "encoder/triton-1",
)  # fmt: skip
"""What is wanted most comes first."""
DISARMED = "disarmed"
WAYS = "tests/gpu/test_limits.py::test_none_of_six_limits_that_are_off_is_taken_for_one"
BATCH, CALLERS = 1, 4
LEAST_S = 15.0
"""With less time left no case is begun."""
WITHIN, WITHIN_MIB = 0.05, 128
"""The target: the predicted smallest is off by no more than a share, or by so many MiB."""
STEP_MIB, TO_MIB = 128, 64
"""The first step away from what was predicted, and how near the search comes to the least."""
FREE = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
device, context = ctypes.c_int(), ctypes.c_void_p()
free, total = ctypes.c_size_t(), ctypes.c_size_t()
for name, arguments in (("cuInit", (0,)), ("cuDeviceGet", (ctypes.byref(device), 0)),
                        ("cuDevicePrimaryCtxRetain", (ctypes.byref(context), device)),
                        ("cuCtxSetCurrent", (context,)),
                        ("cuMemGetInfo_v2", (ctypes.byref(free), ctypes.byref(total)))):
    if status := getattr(cuda, name)(*arguments):
        raise SystemExit(f"{name}: CUDA error {status}")
print(free.value >> 20, total.value >> 20)
"""
"""What a process may still take once it has its context."""


def scenario(case: str, device: str, mib: int | None = None) -> str:
    """Of one case: one point, in sessions of its own; with `mib` under a cap."""
    name, _, backend = case.partition("/")
    model, settings = MODELS[name] if device == "cuda" else gpubench.SMALL, dict(BACKENDS[backend])
    if device == "cpu":
        settings |= {"device": "cpu"} if "device" in settings else {}
        settings |= {"provider": "CPUExecutionProvider"} if "provider" in settings else {}
    memory = "gpu_memory" if device == "cuda" else "host_memory"
    settings |= {"limits": {memory: f"{mib}MiB"}} if mib is not None else {}
    return json.dumps({
        "scenario": f"caps-{case.replace('/', '-')}", "model": {**model, "parity": {"inputs": 1}},
        "backends": [settings],
        "load": {"batch_sizes": [BATCH], "concurrency": [CALLERS]},
        "constraints": {f"{memory}_mib": {"max": 10_000_000}},  # a session of its own, no other's
        "measurement": {
            "profile": "quick", "rounds": 2, "rounds_max": 2, "warmup": "300ms",
            "warmup_requests": 2 * CALLERS, "window": "500ms", "window_requests": 5 * CALLERS,
            "window_max": "5s", "load_timeout": "120s", "request_timeout": "10s",
        },
    })  # fmt: skip


def read(case: str, device: str, mib: int | None = None) -> LoadedScenario:
    text, path = scenario(case, device, mib), HERE / "scenario.yaml"
    return LoadedScenario(load_text(text, str(path), HERE), text, path, ())


def _scenario(case: str, device: str, mib: int | None) -> Scenario:
    return read(case, device, mib).scenario


class Case:
    """One configuration: measured once, then tried under caps."""

    def __init__(self, name: str, asked: argparse.Namespace) -> None:
        self._name, self._asked = name, asked
        asked.runs.mkdir(parents=True, exist_ok=True)
        stem = f"{name.replace('/', '-')}-"
        self._folder = Path(tempfile.mkdtemp(prefix=stem, dir=asked.runs))

    def measure(self) -> dict[str, Any]:
        """Without a cap: its peaks, what is predicted of them and asked for, and what samples a
        second apart would say.
        """
        begin, run = time.monotonic(), self._folder / "run"
        start(read(self._name, self._asked.device), run, contextlib.nullcontext(id))
        data = read_run(run)
        if not data.measurements:
            raise gpubench.ChildError(f"nothing was measured: {data.failures}")
        (row,) = summarize(data.measurements)
        processes, predicted, request = _planned(data, row)
        return {
            "run_s": time.monotonic() - begin, "processes": processes, "predicted_mib": predicted,
            "request_mib": request,
            "device": None if self._asked.beside else sampled(run, Quantity.DEVICE_BYTES),
            "process": sampled(run, Quantity.PROCESS_BYTES),
            "peaks_mib": [m.gpu_memory_mib for m in data.measurements],
            "host_peaks_mib": [m.host_memory_mib for m in data.measurements],
            "flags": [m.flags for m in data.measurements],
            "empty_server": [asdict(row) for row in data.rows(ServerOnlyRow)],
            "stages": [load.details.get("gpu_stages") for load in data.loads],
        }  # fmt: skip

    def verify(self, found: dict[str, Any], save: Callable[[], None]) -> None:
        """Search; each trial is in `found` as soon as it has ended."""
        trials: list[Trial] = found.setdefault("trials", [])
        end = time.monotonic() + self._asked.case_seconds
        scenario = partial(_scenario, self._name, self._asked.device)
        with Sessions(scenario, HERE, self._folder) as sessions:

            def holds(mib: int) -> bool:
                if time.monotonic() > end:
                    raise TimeoutError(f"{self._asked.case_seconds:g} s of trials were over")
                for _ in range(2):  # what decides nothing is tried once more
                    trials.append(sessions.tried(mib))
                    print(f"  {mib} MiB {trials[-1]['outcome']}: {trials[-1]['why'][:200]}")
                    save()
                    if trials[-1]["outcome"] != "undecided":
                        break
                return trials[-1]["outcome"] == "holds"

            try:
                search(
                    found["predicted_mib"], found["request_mib"], holds, step=STEP_MIB, to=TO_MIB
                )
                found["ended"] = True
            except TimeoutError as error:
                found["cut"] = str(error)


def _planned(data: RunData, row: SummaryRow) -> tuple[int, int, int]:
    """Processes of a replica, and MiB of each: what is predicted to be the least, and the request
    that a plan makes, with its margin. Without a GPU of the whole tree of processes.
    """
    gpu, host = row.gpu_memory_mib, row.host_memory_mib
    if gpu is None:
        if host is None:
            raise gpubench.ChildError("no memory was measured")
        return 1, math.ceil(host), with_margin(host)
    empty = [r.gpu_memory_mib for r in data.rows(ServerOnlyRow) if r.gpu_memory_mib is not None]
    server = max(empty, default=None)
    backends = data.scenario["backends"]
    count = int(backends[0].get("instances") or 1) + (server is not None)
    rate = row.throughput.value if row.throughput else 0.0
    candidate = Candidate(row.point, row.backend, row.config, row.batch_size, "", rate, rate, False,
                          None, gpu, "process", host, None, None)  # fmt: skip
    need = need_of(candidate, Processes(count, server), MARGIN, compute=None, card_mib=None,
                   factor=1, driver=None)  # fmt: skip
    assert need is not None
    return count, math.ceil(need.process_mib / (1 + MARGIN)), need.process_mib


def sampled(run: Path, quantity: Quantity) -> dict[str, float] | None:
    """Model Analyzer's question: the largest of samples a second apart, MiB, for the luckiest and
    the unluckiest moment of the first; and the largest and the first reading of all.
    """
    files = sorted((run / "telemetry").glob("*.parquet"))
    series = [s for file in files for s in each(read_parquet(file), quantity)]
    if not series:
        return None
    peaks = []
    for phase in np.arange(0, 1, 0.1):
        values = []
        for one in series:
            times = np.arange(one.t_ns[0] + phase * 1e9, one.t_ns[-1], 1e9)
            place = np.searchsorted(one.t_ns, times, side="right") - 1
            values += list(one.value[np.maximum(place, 0)])
        peaks.append(max(values, default=0.0))
    return {
        "low_mib": min(peaks) / MIB, "high_mib": max(peaks) / MIB,
        "peak_mib": max(float(s.value.max()) for s in series) / MIB,
        "first_mib": float(series[0].value[0]) / MIB,
    }  # fmt: skip


def context() -> dict[str, Any]:
    """What a context takes of a cap, that the cap shows, and whether two daemons share a GPU:
    before anything else is tried.
    """
    found: dict[str, Any] = {"plain": _free(())}
    with gpu_memory(1024, 0) as small:
        found["1024"] = {"free_total": _free(small.prefix), "control": small.tried({})}
        try:
            with gpu_memory(4096, 0) as large:
                found["4096"] = {"free_total": _free(large.prefix), "control": large.tried({})}
        except (LimitError, gpubench.ChildError) as error:
            found["second_daemon"] = str(error)
        found["mps"] = small.said()
    return found


def _free(prefix: Any) -> list[int]:
    done = subprocess.run([*prefix, sys.executable, "-c", FREE], text=True, capture_output=True,
                          check=False, timeout=60)  # fmt: skip
    if done.returncode:
        raise gpubench.ChildError(done.stderr.strip())
    return [int(word) for word in done.stdout.split()]


def disarmed() -> dict[str, str]:
    """Way in which a cap is silently off → what the test of it has seen: passed is not taken for
    verified.
    """
    argv = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-q", "-rA", "-m", "gpu", WAYS]
    env = {**os.environ, "PYTHONPATH": str(gpubench.ROOT)}
    done = subprocess.run(argv, cwd=gpubench.ROOT, text=True, capture_output=True, check=False,
                          timeout=150, env=env)  # fmt: skip
    found = {
        m[2]: m[1].lower() for m in re.finditer(r"^(\w+) \S+::\w+\[(.+?)\]", done.stdout, re.M)
    }
    if not found:
        raise gpubench.ChildError(done.stdout[-800:] + done.stderr[-800:])
    return found


def resumed(asked: argparse.Namespace, record: gpubench.Record) -> None:
    """Take over what an earlier part has found, but for what failed."""
    if record.path.exists():
        earlier = json.loads(record.path.read_text("utf-8"))
        if earlier["device"] == asked.device:
            record.data["cases"] = earlier["cases"]


def _ended(case: str, found: Mapping[str, Any] | None) -> bool:
    """Whether nothing of it is left to do."""
    return found is not None and (case in ("context", DISARMED) or bool(found.get("ended")))


def measure(asked: argparse.Namespace) -> None:
    end = time.monotonic() + asked.seconds
    paths = (str(HERE), str(gpubench.ROOT), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    record = gpubench.Record("plan-caps", asked)
    resumed(asked, record)
    done = record.data["cases"]
    if asked.device == "cuda" and "context" not in done:
        record.attempt("context", context)
    if DISARMED in (asked.only or ()) and DISARMED not in done:
        record.attempt(DISARMED, disarmed)
    for name in gpubench.chosen(asked, CASES):
        if _ended(name, done.get(name)):
            continue
        if end - time.monotonic() < LEAST_S:
            record.attempt(name, partial(_raise, TimeoutError("no time was left")))
            continue
        record.attempt(name, partial(_whole, name, asked, record, end))


def merged(folders: Iterable[Path]) -> dict[str, Any]:
    """The record of the first with the cases of all; what one has found is no other's failure."""
    first, *others = (json.loads((f / "plan-caps.json").read_text("utf-8")) for f in folders)
    for other in others:
        first["cases"] |= {k: v for k, v in other["cases"].items() if k not in first["cases"]}
        first["failures"] |= other["failures"]
    first["failures"] = {k: v for k, v in first["failures"].items() if k not in first["cases"]}
    return dict(first)


def _whole(
    name: str, asked: argparse.Namespace, record: gpubench.Record, end: float
) -> dict[str, Any]:
    begin = time.monotonic()
    case = Case(name, asked)
    found = case.measure()
    asked.case_seconds = min(asked.case_seconds, end - time.monotonic())

    def save() -> None:
        found["seconds"] = time.monotonic() - begin
        record.keep(name, found)

    case.verify(found, save)
    return found


def _raise(error: BaseException) -> None:
    raise error


# ------------------------------------------------------------------------------------ the page


def page(data: Mapping[str, Any]) -> Page:
    lines = [
        *opening(
            data, "PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT",
            "PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT --render docs/benchmarks",
            trial="A trial of the script on the CPU, under caps of host memory.",
        ),
        f"Batch {BATCH}, {CALLERS} callers, fp32; {_at_once(data)}. `harness run` "
        "measured each case in two sessions; *predicted* is\nwhat a plan takes for the least of "
        f"each process: the peak without the margin of {MARGIN:.0%} that the *request* has. Then\n"
        "sessions under CUDA MPS, each with its control and a daemon of its own: the request, and "
        "from the predicted value\noutward, then by bisection. A size holds where the model loads "
        "and a short load has no error; its speed is not judged.\n*Least* has held twice, and is "
        f"found to {TO_MIB} MiB. The target is that the predicted value lies within {WITHIN:.0%} "
        f"or {WITHIN_MIB} MiB\nof it. *So far*: the case's time was up before the search had "
        "ended.", "",
    ]  # fmt: skip
    lines += table(
        ("case", "processes", "predicted MiB", "request MiB", "verified", "least MiB",
         "predicted − least", "target", "below it", "trials", "seconds"),
        list(_rows(data)),
    )  # fmt: skip
    asked = list(_analyzer(data))
    lines += ["", *_context(data), *_disarmed(data)]
    if not asked:
        return Page("plan-caps", TITLE, [*lines, *_missing(data)])
    lines += ["## By Model Analyzer's definition", "",
              "The largest of samples a second apart, of the whole device. From the same run's "
              "readings (200 a second), for\nthe unluckiest and the luckiest moment of the first "
              "sample. What it says for a replica, against what its\nprocesses need together:",
              ""]  # fmt: skip
    lines += table(
        ("case", "sampled MiB", "largest reading MiB", "before it began MiB",
         "least × processes MiB", "asked too much", "as a cap"), asked,
    )  # fmt: skip
    return Page("plan-caps", TITLE, [*lines, *_missing(data)])


TITLE = "What a plan asks for, against the least that works"


def _at_once(data: Mapping[str, Any]) -> str:
    alone = all(found.get("device") for _, found, _ in _tried(data))
    return "each case alone on its GPU" if alone else (
        "other cases ran on the same GPU, as a cap is each process's and no speed is judged"
    )  # fmt: skip


def _missing(data: Mapping[str, Any]) -> list[str]:
    each = [f"- `{name}`: {why.splitlines()[0]}" for name, why in data["failures"].items()]
    return ["", "Not measured:", "", *each] if each else []


def _tried(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], list[Any]]]:
    for case, found in data["cases"].items():
        if case not in ("context", DISARMED):
            yield case, found, found.get("trials", [])


def least_of(found: Mapping[str, Any]) -> int | None:
    """The least that held, twice where the search has ended."""
    held = [trial["mib"] for trial in found.get("trials", []) if trial["outcome"] == "holds"]
    stood = [mib for mib in held if held.count(mib) > 1] if found.get("ended") else held
    return min(stood, default=None)


def _rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for case, found, trials in _tried(data):
        least, predicted = least_of(found), found["predicted_mib"]
        off, met = _off(predicted, least)
        requested = [t["outcome"] for t in trials if t["mib"] == found["request_mib"]]
        yield [
            f"`{case}`", str(found["processes"]), _mib(predicted), _mib(found["request_mib"]),
            "yes" if "holds" in requested else "no" if requested else "–",
            f"{_mib(least)}{'' if found.get('ended') or least is None else ' so far'}",
            off, met if found.get("ended") else "open", _below(trials, least), str(len(trials)),
            f"{found.get('seconds', found['run_s']):.0f}",
        ]  # fmt: skip


def _mib(size: float | None) -> str:
    return "–" if size is None else f"{size:,.0f}"


def _off(predicted: float | None, least: float | None) -> tuple[str, str]:
    if predicted is None or least is None:
        return "–", "–"
    off = predicted - least
    met = abs(off) <= max(WITHIN_MIB, WITHIN * least)
    return f"{signed(off, '.0f')} MiB ({signed(off / least, '.1%')})", "met" if met else "missed"


def _below(trials: list[Any], least: int | None) -> str:
    failed = [t for t in trials if t["outcome"] != "holds" and (least is None or t["mib"] < least)]
    if not failed:
        return "–"
    worst = max(failed, key=lambda t: int(t["mib"]))
    return f"{worst['mib']} MiB {worst['outcome']}: {worst['why'][:120]}".replace("|", "/")


def _context(data: Mapping[str, Any]) -> list[str]:
    found = data["cases"].get("context")
    if not found:
        return []
    taken = {m: int(m) - found[m]["free_total"][0] for m in ("1024", "4096") if m in found}
    words = ", ".join(
        f"{took:,} MiB under a cap of {int(mib):,} MiB" for mib, took in taken.items()
    )
    return [
        f"A CUDA context takes {words}; the card's total stays {found['1024']['free_total'][1]:,} "
        f"MiB to its processes. The control: {found['1024']['control']}.", "",
    ]  # fmt: skip


def _disarmed(data: Mapping[str, Any]) -> list[str]:
    found: Mapping[str, str] = data["cases"].get(DISARMED) or {}
    if not found:
        return []
    taken = sum(word not in ("passed", "skipped") for word in found.values())
    tried = sum(word != "skipped" for word in found.values())
    each = ", ".join(
        f"{way}: {'refused' if word == 'passed' else word}" for way, word in found.items()
    )
    return [f"Of {tried} caps that were silently off {taken} were taken for caps ({each}).", ""]


def _analyzer(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for case, found, _ in _tried(data):
        device, least = found.get("device"), least_of(found)
        if not device or not least:
            continue
        need = least * found["processes"]
        low, high = device["low_mib"], device["high_mib"]
        word = "holds" if low >= need else "fails" if high < need else "fails or holds, by luck"
        yield [
            f"`{case}`", f"{low:,.0f} to {high:,.0f}", _mib(device["peak_mib"]),
            _mib(device["first_mib"]), _mib(need), f"{signed(high - need, ',.0f')} MiB", word,
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all cases")
    parser.add_argument("--beside", action="store_true", help="another call measures on the same "
                        "GPU: nothing is said of the whole device")  # fmt: skip
    parser.add_argument("--merge", type=Path, nargs="+", metavar="OUT",
                        help="put what these calls found together, no more")  # fmt: skip
    parser.add_argument("--case-seconds", type=float, default=60.0, help="for trials of each")
    every = (*CASES, DISARMED)
    parser.add_argument("--cases", dest="only", nargs="*", choices=every, metavar="CASE",
                        help=f"these alone, of {', '.join(every)}")  # fmt: skip
    parser.add_argument("--render", type=Path, metavar="DIR", help="write the page there, no more")
    asked = parser.parse_args()
    asked.output, asked.quick = asked.output.resolve(), False
    name = f"plan-caps-{os.getuid()}-{zlib.crc32(os.fsencode(asked.output)):08x}"
    asked.runs = Path(tempfile.gettempdir(), name)  # large, and no result
    path = asked.output / "plan-caps.json"
    if asked.merge:
        asked.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(merged(asked.merge), indent=1), encoding="utf-8")
        return
    if asked.render is None:
        measure(asked)
        return
    asked.render.mkdir(parents=True, exist_ok=True)
    print(page(json.loads(path.read_text("utf-8"))).write(asked.render))
    (asked.render / "gpu-plan-caps.json").write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
