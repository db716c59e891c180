"""How often `harness compare` cries wolf on real backends, and whether it finds 5 % and the layer.

    PYTHONPATH=. python benchmarks/compare_aa.py --output OUT --seconds 580 --lanes 6 --part 1/2
    PYTHONPATH=. python benchmarks/compare_aa.py --output OUT --merge OUT1/compare_aa.json …
    PYTHONPATH=. python benchmarks/compare_aa.py --output OUT --page docs/benchmarks

ONNX Runtime on one thread runs equal matrix products. `slower`: ten comparisons in which the
candidate does one such product more after each request of twenty, real work of 5 %, with the
profile `standard`. `aa`: the candidate is the base under another name, forty times, with six
products and short windows, so that forty fit into the time. `noisy`: forty times
the same with the fake backend on a host with autocorrelated noise and drift (compare_noisy.py).
`layer`: the layers of a network are profiled in which one operator is made slower, ten times;
`layer-aa`: the same without, forty times. Beside the verdicts the naive rule: the medians of the
first five measurements of each side, a change from 5 % on.

The cores that it may use (`taskset`) are divided among the lanes, each with a comparison of its
own. A core's two threads share its units: were they two lanes, each would be half as fast whenever
the other measures. A virtual machine may hide which belong together, and share them with others:
measured one window after the other, a block's ratio varied by 20 to 30 % on one, and one of 13
slow-downs of 5 % was found; in turns of 100 ms all are (docs/benchmarks/compare-aa.md).
What may take longest comes first, and nothing begins that might not end in time, so that what is
there does not depend on what was found; what is cut off all the same is counted. What is kept is
left out by the next call. On quiet cores `slower` takes a core about 45 minutes, `aa` and `noisy`
40 each, both `layer` 15.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from compare_aa_page import page, place_of
from compare_models import products, resized

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of, register
from harness.compare.comparing import within
from harness.compare.layers.matching import judge_layers
from harness.compare.layers.profiling import BLOCKS, profile_blocks
from harness.compare.measuring import begin
from harness.compare.result import Comparison
from harness.compare.subjects import Subject, Subjects
from harness.compare.verdicts import LOOKS
from harness.fleet.devices import cores
from harness.models.prepare import prepare
from harness.results.events import Event
from harness.results.store import read_run
from harness.scenario.metrics import PRIMARY
from harness.scenario.spec.backend import packages
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import ModelSpec, Parity
from harness.system.machine import describe_machine, package_versions
from harness.system.paths import cache_directory

ROOT = Path(__file__).resolve().parents[1]
SCENARIO = """\
scenario: compare-aa
model: {model}
backends:
  - {{name: base, {base}}}
  - {{name: candidate, {candidate}}}
load: {{concurrency: [1]}}
measurement: {{{measurement}}}
"""
PRODUCTS = "{name: products, batch: none, source: {onnx: products.onnx}}"
NOTHING = "{name: nothing, source: {fake: {}}}"
ORT = "kind: onnxruntime, threads: 1"
PADDED = "kind: padded, threads: 1, one: {folder}/one.onnx"
NOISY = "kind: noisy, service_time_ms: 0.5, jitter: 0.02, path: {number}, origin_s: {now}"
SHORT = "profile: quick, window_requests: 662, "


class Kind(NamedTuple):
    """What is compared, how often, and how long one may take."""

    times: int
    longest_s: float
    """With the most blocks, none disturbed, on a quiet machine."""
    model: str = ""
    sides: tuple[str, str] = ("", "")
    """None: layers are profiled."""
    measurement: str = ""
    most: int = LOOKS[-1]
    products: int = 20


KINDS = {
    "slower": Kind(10, 480, PRODUCTS, (ORT, PADDED), "profile: standard", 9),
    "aa": Kind(40, 150, PRODUCTS, (ORT, ORT), SHORT + "warmup: 200ms, window: 600ms", products=6),
    "noisy": Kind(40, 110, NOTHING, (NOISY, NOISY), SHORT + "warmup: 100ms, window: 350ms"),
    "layer-aa": Kind(40, 40),
    "layer": Kind(10, 40),
}
"""What may take longest first."""
QUICK = "profile: quick, warmup: 50ms, window: 100ms"


# ------------------------------------------------------------------------------- one comparison


class Silent:
    """An observer that hears nothing."""

    def __call__(self, event: Event) -> None:
        """Take one event."""


def one(kind: str, number: int, *, quick: bool) -> dict[str, Any]:
    """One comparison from its beginning to its end."""
    register(
        "padded", settings="compare_padded:PaddedSettings", backend="compare_padded:PaddedBackend"
    )
    register("noisy", settings="compare_noisy:NoisySettings", backend="compare_noisy:NoisyBackend")
    os.chdir(Path(__file__).parent)  # workers import these backends from here
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if KINDS[kind].model:
            found = compared(KINDS[kind], number, folder, quick=quick)
        else:
            slow = "linear" if kind == "layer" else "nearest"
            found = profiled(folder, slow, 2 if quick else BLOCKS)
    return {"kind": kind, "number": number, **found, "seconds": time.monotonic() - start}


def compared(kind: Kind, number: int, folder: Path, *, quick: bool) -> dict[str, Any]:
    """The verdict, and what the naive rule says."""
    products(folder / "products.onnx", kind.products)
    products(folder / "one.onnx", 1)
    now = time.monotonic()
    base, candidate = (s.format(folder=folder, number=number, now=now) for s in kind.sides)
    path = folder / "compare-aa.yaml"
    path.write_text(
        SCENARIO.format(
            model=kind.model, base=base, candidate=candidate,
            measurement=QUICK if quick else kind.measurement,
        )
    )  # fmt: skip
    most = LOOKS[0] if quick else kind.most
    ended, blocks = begin(path, (), None, None, folder / "run", nullcontext(Silent()), most)
    found = within(read_run(ended.path), blocks.base, blocks.candidate)
    (point,) = found.points
    return {
        "verdict": str(found.verdict), "blocks": point.blocks, "naive": naive(found),
        "why": point.reason,
        "change": {r.metric.key: [r.change, *r.interval] for r in point.rows},
        "disturbed": found.candidate.points[point.place].disturbed,
    }  # fmt: skip


def naive(found: Comparison) -> bool:
    """Whether the medians of five of both are 5 % apart in any metric; it knows nothing invalid."""
    one, other = (s.points[found.points[0].place].values for s in (found.base, found.candidate))
    for key in PRIMARY.keys() & one.keys() & other.keys():
        a, b = (statistics.median(list(side[key].values())[:5]) for side in (one, other))
        if abs(np.log(b / a)) > np.log1p(0.05):
            return True
    return False


def profiled(folder: Path, slow: str, blocks: int) -> dict[str, Any]:
    """The first layer, how many are named, and whether the first is."""
    base, candidate = _subject(folder, "a", "nearest"), _subject(folder, "b", slow)
    found = judge_layers(
        profile_blocks(Subjects(base, candidate, Parity()), folder / "out", lambda _: None, blocks)
    )
    first = found.changes[0]
    return {"first": first.name, "first_named": first.named, "named": len(found.named),
            "layers": len(found.changes), "us": [found.base_us, found.candidate_us]}  # fmt: skip


def _subject(folder: Path, name: str, mode: str) -> Subject:
    path = resized(folder / f"{name}.onnx", mode)
    spec = ModelSpec.model_validate({"name": name, "source": {"onnx": str(path)}})
    model, _ = prepare(spec, ("onnx",), (1,), cache_directory(), base=folder)
    settings = OnnxRuntimeSettings(kind="onnxruntime", name=name, threads=1)
    task = {"backend": message_of(settings), "model": model.to_json(), "batches": [1],
            "cache": str(cache_directory())}  # fmt: skip
    return Subject(
        name, "onnxruntime", "fp32", sys.executable, {}, task, (1,), Measurement.model_validate({}),
    )  # fmt: skip


# --------------------------------------------------------------------------------- all, in lanes


class Work:
    """What is still to be compared, and what was; shared by the lanes."""

    def __init__(self, asked: argparse.Namespace, data: dict[str, Any]) -> None:
        self.asked, self.data = asked, data
        self.end = time.monotonic() + asked.seconds
        self._lock = threading.Lock()
        part, parts = map(int, asked.part.split("/"))
        done = {(r["kind"], r["number"]) for r in data["found"] if "cut" not in r}
        self.left = [
            (kind, n) for kind, k in KINDS.items() for n in range(1 if asked.quick else k.times)
            if kind in asked.kinds and n % parts == part - 1 and (kind, n) not in done
        ]  # fmt: skip

    def take(self) -> tuple[str, int] | None:
        """The first that may still end in time."""
        with self._lock:
            left = self.end - time.monotonic()
            for place, (kind, _) in enumerate(self.left):
                if left >= (20 if self.asked.quick else KINDS[kind].longest_s):
                    return self.left.pop(place)
        return None

    def add(self, found: Mapping[str, Any]) -> None:
        """Keep one, and say so."""
        with self._lock:
            self.data["found"].append(found)
            save(self.asked.output, self.data)
            print(json.dumps(found), flush=True)


def lane(work: Work, cpus: Sequence[int]) -> None:
    """One comparison after the other on these processors, each in a process of its own."""
    while (next_ := work.take()) is not None:
        kind, number = next_
        argv = [sys.executable, __file__, "--one", kind, "--number", str(number)]
        argv += ["--quick"] if work.asked.quick else []
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, cpus)), *argv], stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=max(1.0, work.end - time.monotonic()))
            if process.returncode:
                work.add({"kind": kind, "number": number, "cut": f"exit {process.returncode}"})
            else:
                work.add(json.loads(said.splitlines()[-1]))
        except subprocess.TimeoutExpired:
            process.kill()  # what it started ends with it
            process.communicate()
            work.add({"kind": kind, "number": number, "cut": "the time was up"})


def measure(asked: argparse.Namespace, data: dict[str, Any]) -> None:
    """All that is missing and fits into the time."""
    whole = cores(os.sched_getaffinity(0))
    work = Work(asked, data)
    threads = [
        threading.Thread(target=lane, args=(work, [cpu for core in mine for cpu in core]))
        for n in range(asked.lanes)
        if (mine := whole[n :: asked.lanes] or [whole[n % len(whole)]])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{len(work.left)} are left for another call")


def save(folder: Path, data: Mapping[str, Any]) -> None:
    """Write what was found."""
    (folder / "compare_aa.json").write_text(json.dumps(data, indent=1), encoding="utf-8")


def merged(files: Sequence[Path]) -> dict[str, Any]:
    """What several calls found; of what was cut off and then done there, what was done."""
    calls = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    rows = [{"on": place_of(c), **r} for c in calls for r in c["found"]]
    found = {
        (r["kind"], r["number"], r["on"]): r for r in sorted(rows, key=lambda r: "cut" not in r)
    }
    return {**calls[0], "found": list(found.values())}


def main() -> None:
    """Compare, merge, write the page, or (in a lane) do one comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="folder of compare_aa.json")
    parser.add_argument("--seconds", type=float, default=7200.0, help="that it may take at most")
    parser.add_argument("--lanes", type=int, default=1, help="comparisons beside each other")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--part", default="1/1", help="1/2 and 2/2 do half of each kind")
    parser.add_argument("--merge", type=Path, nargs="+", help="files of several calls")
    parser.add_argument("--quick", action="store_true", help="one of each, short: to try it")
    parser.add_argument("--page", type=Path, help="write the page into this folder")
    parser.add_argument("--one", choices=list(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one, asked.number, quick=asked.quick)))
        return
    asked.output = asked.output.resolve()
    asked.output.mkdir(parents=True, exist_ok=True)
    file = asked.output / "compare_aa.json"
    data: dict[str, Any] = {
        "schema": 2, "started": time.strftime("%Y-%m-%d"), "lanes": asked.lanes,
        "machine": {**describe_machine(), "gpus": []},  # none is used
        "packages": package_versions(packages()), "found": [],
    }  # fmt: skip
    if asked.merge:
        data = merged(asked.merge)
        save(asked.output, data)
    elif file.exists():
        data = json.loads(file.read_text(encoding="utf-8"))
    if asked.page is not None:
        text = page(data, {k: kind.most for k, kind in KINDS.items()})
        (asked.page / "compare-aa.md").write_text(text, encoding="utf-8")
        whole = json.dumps(data, indent=1) + "\n"
        (asked.page / "compare-aa.json").write_text(whole, encoding="utf-8")
    elif not asked.merge:
        measure(asked, data)


if __name__ == "__main__":
    main()
