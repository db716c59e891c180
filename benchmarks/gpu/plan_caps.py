"""What `harness plan` asks for, against the least that works: under CUDA MPS, by its own --verify.

    PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT [--seconds 240] [--cases CASE …]
    PYTHONPATH=. python benchmarks/gpu/plan_caps.py --output OUT --render docs/benchmarks

Each case is one configuration of ResNet-50 or of a small transformer. `harness run` measures it
alone on its GPU, in sessions of its own. Then `harness plan --verify` makes a request of the peak,
tries it under the cap, and bisects: of several cases at a time on a GPU, as a cap is each
process's, where two MPS daemons can be had there, and in the order of `CASES`. A case sees one GPU.
What it has shown when its time is up is kept. A later call with the same --output begins no case
again whose search has ended, and on the same machine measures none again. `disarmed` is a case
too, where it is named: the six ways in which a cap is off. With --device cpu the cap is one of host
memory, to try the script.
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
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import gpubench
import numpy as np
from pages import Page, opening, table

from harness.analysis.summary import SummaryRow, summarize
from harness.errors import LimitError
from harness.measure.validity import OUTSIDE
from harness.results.rows import ServerOnlyRow
from harness.results.series import Quantity, each, read_parquet
from harness.results.store import read_run
from harness.system.limits.gpu import gpu_memory
from harness.system.machine import describe_machine

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
    "resnet50/torch", "resnet50/onnxruntime", "resnet50/triton-2", "resnet50/tensorrt",
    "encoder/torch", "encoder/tensorrt", "resnet50/triton-1", "encoder/onnxruntime",
    "encoder/triton-2", "encoder/triton-1",
)  # fmt: skip
"""What is wanted most comes first."""
DISARMED = "disarmed"
WAYS = "tests/gpu/test_limits.py::test_none_of_six_limits_that_are_off_is_taken_for_one"
BATCH, CALLERS = 1, 4
RUN_S, VERIFY_S = 100.0, 240.0
"""The longest that one `harness run` and one `harness plan --verify` may take on the GPU."""
LEAST_S = {"run": 45.0, "verify": 25.0}
"""With less time left none is begun: what was measured is to be verified too."""
ENDS = ("cut", "rc", "stderr", "verify_s")
"""What a verification leaves behind: the next one begins without."""
RUNS = ("run", "run-2", "run-3")
DEMAND = ("--rate", "10", "--slo-p99", "5s", "--margin", "10%", "--headroom", "95%")
"""So low and so late that memory alone decides, while other cases load the same GPU."""
WITHIN, WITHIN_MIB = 0.05, 128
"""The target: the predicted smallest is off by no more than a share, or by so many MiB."""
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


def scenario(case: str, device: str) -> dict[str, Any]:
    """Of one case: one point, in a session of its own."""
    name, _, backend = case.partition("/")
    model, settings = MODELS[name] if device == "cuda" else gpubench.SMALL, dict(BACKENDS[backend])
    if device == "cpu":
        settings |= {"device": "cpu"} if "device" in settings else {}
        settings |= {"provider": "CPUExecutionProvider"} if "provider" in settings else {}
    memory = "gpu_memory_mib" if device == "cuda" else "host_memory_mib"
    return {
        "scenario": f"caps-{case.replace('/', '-')}", "model": {**model, "parity": {"inputs": 1}},
        "backends": [settings],
        "load": {"batch_sizes": [BATCH], "concurrency": [CALLERS]},
        "constraints": {memory: {"max": 10_000_000}},  # a session of its own, nothing else
        "measurement": {
            "profile": "quick", "rounds": 2, "rounds_max": 2, "warmup": "500ms",
            "warmup_requests": 8,
            # a p99 has an upper end from 16 slow stretches on over the rounds: 1 % of these twice
            "window": "500ms", "window_requests": 1600, "window_max": "15s", "load_timeout": "90s",
        },
    }  # fmt: skip


class Lane:
    """One GPU: what is started here sees no other."""

    def __init__(self, asked: argparse.Namespace, uuid: str | None, end: float) -> None:
        self._asked, self._end = asked, end
        path = os.pathsep.join([str(Path(__file__).parent), str(gpubench.ROOT)])
        self._env = {**os.environ, "PYTHONPATH": path, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        if uuid is not None:
            self._env["CUDA_VISIBLE_DEVICES"] = uuid

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    def run(self, case: str) -> dict[str, Any]:
        """Measure it without a cap: its peak, and what samples a second apart would say."""
        folder = self._folder(case)
        (folder / "scenario.yaml").write_text(json.dumps(scenario(case, self._asked.device)))
        begin = time.monotonic()
        for run in RUNS:  # a point that is not believed is no candidate: once more
            words = ("run", "scenario.yaml", "-o", run, "-q", "--no-report")
            said = self._harness(folder, RUN_S, *words)
            calm(folder / run / "journal.jsonl")
            data = read_run(folder / run)
            rows = summarize(data.measurements, data.failures)
            if any(_decides(row) for row in rows) or self.left < LEAST_S["run"]:
                break
        if not data.measurements:
            raise gpubench.ChildError(f"nothing was measured: {data.failures or said['stderr']}")
        return {
            "run": run, "run_s": time.monotonic() - begin,
            "device": sampled(folder / run, Quantity.DEVICE_BYTES)
            if self._asked.at_once == 1 else None,
            "process": sampled(folder / run, Quantity.PROCESS_BYTES),
            "peaks_mib": [row.gpu_memory_mib for row in data.measurements],
            "flags": [row.flags for row in data.measurements],
            "empty_server": [asdict(row) for row in data.rows(ServerOnlyRow)],
            "stages": [row.details.get("gpu_stages") for row in data.loads],
        }  # fmt: skip

    def verify(self, case: str, run: str) -> dict[str, Any]:
        """The plan with its proof; what there is of it when its time is up."""
        begin = time.monotonic()
        words = ("plan", run, *DEMAND, "--verify", "--json")
        try:
            said = self._harness(self._folder(case), VERIFY_S, *words)
        except subprocess.TimeoutExpired as error:  # the trials that ended are told of there
            return {"cut": True, "stderr": _text(error.stderr)}
        plan = json.loads(said["stdout"]) if said["stdout"].strip() else None
        return {"verify_s": time.monotonic() - begin, "rc": said["rc"], "stderr": said["stderr"],
                "plan": plan}  # fmt: skip

    def _folder(self, case: str) -> Path:
        folder: Path = self._asked.runs / case.replace("/", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _harness(self, folder: Path, most: float, *words: str) -> dict[str, Any]:
        longest = min(most, self.left) if self._asked.device == "cuda" else self.left
        done = subprocess.run(
            [sys.executable, "-m", "harness", *words], cwd=folder, env=self._env, text=True,
            capture_output=True, check=False, timeout=max(1.0, longest),
        )  # fmt: skip
        return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr[-8000:]}


def calm(journal: Path) -> None:
    """Take out of a run what other cases on the same GPU did to its rounds, as `--verify` does of
    its trials: they slow it down, and memory is the matter here.
    """
    theirs = {*OUTSIDE, "no_steady_state", "warm_up_leak"}
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    for line in lines:
        if set(line.get("flags", ())) & set(OUTSIDE):
            line["flags"] = [flag for flag in line["flags"] if flag not in theirs]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _decides(row: SummaryRow) -> bool:
    """Whether a plan may choose it: one round that counts has no interval."""
    p99 = row.value("latency_p99_ms")
    return row.valid and p99 is not None and p99.high is not None


def _text(found: str | bytes | None) -> str:
    return found.decode(errors="replace") if isinstance(found, bytes) else found or ""


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
    return found is not None and (case in ("context", DISARMED) or bool(found.get("plan")))


def measure(asked: argparse.Namespace) -> None:
    begin = time.monotonic()
    record = gpubench.Record("plan-caps", asked)
    resumed(asked, record)
    done = record.data["cases"]
    gpus: list[str | None] = [str(gpu["uuid"]) for gpu in describe_machine()["gpus"]] or [None]
    each_gpu = asked.lanes
    if asked.device == "cuda":
        if "context" not in done:
            record.attempt("context", context)
        each_gpu = (
            1 if "second_daemon" in done.get("context", {"second_daemon": ""}) else asked.lanes
        )
        if asked.only is not None and DISARMED in asked.only and DISARMED not in done:
            record.attempt(DISARMED, disarmed)
    cases = [case for case in gpubench.chosen(asked, CASES) if not _ended(case, done.get(case))]
    for case in cases:  # once, not in each lane
        model = scenario(case, asked.device)["model"]
        gpubench.prepare_model(asked, model, ("torch", "onnx"), (BATCH,))
    lanes = [Lane(asked, uuid, begin + asked.seconds) for uuid in gpus]
    place = {case: lanes[i % len(lanes)] for i, case in enumerate(cases)}
    found: dict[str, dict[str, Any]] = {}
    lock = threading.Lock()

    def run(case: str) -> None:
        earlier = done.get(case) or {}
        there = asked.runs / case.replace("/", "-") / earlier.get("run", "none")
        found[case] = {k: v for k, v in earlier.items() if k not in ENDS} if there.exists() else (
            place[case].run(case)
        )  # fmt: skip
        with lock:
            record.attempt(case, lambda: found[case])

    def verify(case: str) -> None:
        found[case] |= place[case].verify(case, found[case]["run"])
        with lock:
            record.attempt(case, lambda: found[case])

    for name, work, most in (("run", run, asked.at_once), ("verify", verify, each_gpu)):
        left = [case for case in cases if case not in record.data["failures"]]
        with contextlib.ExitStack() as stack:
            pools = {lane: stack.enter_context(ThreadPoolExecutor(most)) for lane in lanes}
            waiting = {
                case: pools[place[case]].submit(_in_time, LEAST_S[name], work, place[case], case)
                for case in left
            }
        for case, future in waiting.items():
            if (error := future.exception()) is not None:
                record.attempt(case, partial(_raise, error))


def _in_time(least: float, work: Callable[[str], None], lane: Lane, case: str) -> None:
    if lane.left < least:
        raise TimeoutError("no time was left")
    work(case)


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
        f"Batch {BATCH}, {CALLERS} callers, fp32. `harness run` measured each configuration; what "
        "other cases did to its rounds was\nleft out. `harness plan --verify` made a request of "
        "the largest peak plus 10 %, tried it under "
        f"CUDA MPS after its control, and searched for the least that\nworks. *Predicted* is the "
        "peak without the margin, of a process; the target is that it lies within "
        f"{WITHIN:.0%} or {WITHIN_MIB} MiB of\n*least*, which has held in two full trials. Several "
        "cases were tried at a time on a GPU, so their speed is not the matter\nhere. "
        "*So far*: the time was up before the search had ended.", "",
    ]  # fmt: skip
    lines += table(
        ("case", "processes", "predicted MiB", "request MiB", "verified", "least MiB",
         "predicted − least", "target", "below it"),
        list(_rows(data)),
    )  # fmt: skip
    asked = list(_analyzer(data))
    lines += ["", *_context(data), *_disarmed(data)]
    if not asked:
        return Page("plan-caps", TITLE, [*lines, *_analyzed_elsewhere(), *_missing(data)])
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


def _analyzed_elsewhere() -> list[str]:
    return [
        "What Model Analyzer's definition asks for, the largest of samples a second apart of the "
        "whole device, has [a page of its own](gpu-memory-definitions.md): here several cases "
        "shared the device.",
    ]  # fmt: skip


def _missing(data: Mapping[str, Any]) -> list[str]:
    each = [f"- `{name}`: {why.splitlines()[0]}" for name, why in data["failures"].items()]
    return ["", "Not measured:", "", *each] if each else []


SAID = re.compile(r"(\d+) MiB(, one short round)?: (holds|fails|undecided): (.*)")
"""What `--verify` tells of a trial when it has ended."""


def proof_so_far(stderr: str) -> dict[str, Any]:
    """Of a verification that was cut off: the least that held in any trial; {} without one."""
    trials = [
        {"mib": int(m[1]), "full": m[2] is None, "outcome": m[3], "why": m[4]}
        for m in map(SAID.fullmatch, stderr.splitlines()) if m
    ]  # fmt: skip
    held = [trial for trial in trials if trial["outcome"] == "holds"]
    if not trials or not held:
        return {}
    request = max(trial["mib"] for trial in trials)
    return {
        "request_mib": request, "verified": any(t["mib"] == request for t in held),
        "predicted_mib": math.ceil(request / 1.1), "smallest_mib": min(t["mib"] for t in held),
        "trials": trials, "cut": True,
    }  # fmt: skip


def _proofs(data: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any, Any]]:
    for case, found in data["cases"].items():
        if case not in ("context", DISARMED):
            plan = found.get("plan") or {}
            proof = plan.get("proof") or proof_so_far(found.get("stderr", ""))
            yield case, found, plan.get("memory") or {}, proof


def _rows(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for case, found, memory, proof in _proofs(data):
        if not proof:
            last = found.get("stderr", "").strip().splitlines()[-1:] or ["nothing was tried"]
            why = f"exit code {found['rc']}" if "rc" in found else "cut off"
            yield [f"`{case}`", *["–"] * 7, f"{why}: {last[0]}"]
            continue
        least, predicted = proof.get("smallest_mib"), proof.get("predicted_mib")
        yield [
            f"`{case}`", str(memory.get("processes", 1)), _mib(predicted),
            _mib(proof["request_mib"]), "yes" if proof["verified"] else "no",
            f"{_mib(least)}{' so far' if proof.get('cut') else ''}", *_off(predicted, least),
            _below(proof),
        ]  # fmt: skip


def _mib(size: float | None) -> str:
    return "–" if size is None else f"{size:,.0f}"


def _off(predicted: float | None, least: float | None) -> tuple[str, str]:
    if predicted is None or least is None:
        return "–", "–"
    off = predicted - least
    met = abs(off) <= max(WITHIN_MIB, WITHIN * least)
    return f"{off:+.0f} MiB ({off / least:+.1%})", "met" if met else "missed"


def _below(proof: Mapping[str, Any]) -> str:
    least = proof.get("smallest_mib")
    failed = [t for t in proof["trials"] if least and t["mib"] < least and t["outcome"] != "holds"]
    if not failed:
        return "–"
    worst = max(failed, key=lambda t: t["mib"])
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
    for case, found, memory, proof in _proofs(data):
        device, least = found.get("device"), proof.get("smallest_mib")
        if not device or not least:
            continue
        need = least * memory.get("processes", 1)
        low, high = device["low_mib"], device["high_mib"]
        word = "holds" if low >= need else "fails" if high < need else "fails or holds, by luck"
        yield [
            f"`{case}`", f"{low:,.0f} to {high:,.0f}", _mib(device["peak_mib"]),
            _mib(device["first_mib"]), _mib(need), f"{high - need:+,.0f} MiB", word,
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=240.0, help="no case goes on after them")
    parser.add_argument("--at-once", type=int, default=1, help="cases measured at once without a "
                        "cap: above 1, nothing is said of the whole device")  # fmt: skip
    parser.add_argument("--lanes", type=int, default=8, help="cases verified at once on a GPU")
    every = (*CASES, DISARMED)
    parser.add_argument("--cases", dest="only", nargs="*", choices=every, metavar="CASE",
                        help=f"these alone, of {', '.join(every)}")  # fmt: skip
    parser.add_argument("--render", type=Path, metavar="DIR", help="write the page there, no more")
    asked = parser.parse_args()
    asked.output, asked.quick = asked.output.resolve(), False
    name = f"plan-caps-{os.getuid()}-{zlib.crc32(os.fsencode(asked.output)):08x}"
    asked.runs = Path(tempfile.gettempdir(), name)  # large, and no result
    path = asked.output / "plan-caps.json"
    if asked.render is None:
        measure(asked)
        return
    asked.render.mkdir(parents=True, exist_ok=True)
    print(page(json.loads(path.read_text("utf-8"))).write(asked.render))
    (asked.render / "gpu-plan-caps.json").write_bytes(path.read_bytes())


if __name__ == "__main__":
    main()
