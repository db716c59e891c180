"""Interference predicted from stressors, against pairs that ran together: `harness share`.

    PYTHONPATH=. python benchmarks/gpu/interference.py --output OUT [--modes time_slicing mps]
    PYTHONPATH=. python benchmarks/gpu/interference.py --render OUT --page docs/benchmarks

Five workloads: ResNet-50, a small encoder, matrix products, and two that wait for copies, in and
out; with `--bound host` ResNet-50 at batch 1 and 16, a smaller batch of the encoder, one that waits
for copies and one for launches, most of which wait for the host, so that their own times scatter.
Each runs beside five stressors; the ten pairs run too, and no prediction sees them. One round,
at most 195 s for each mode on an H200; a mode has a run directory of its own. A later call with the
same OUT measures what is missing there, and nothing again. With --device cpu three small models, to
try the script.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gpubench
import pages

from harness.scenario.spec.backend import packages
from harness.scenario.wording import signed
from harness.system.files import jsonable
from harness.system.machine import describe_machine, package_versions

IMAGE = gpubench.RESNET50
STREAM = {"name": "input", "dtype": "float32"}
HOST_BOUND: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "resnet50-b1": (IMAGE, 1),
    "resnet50-b16": (IMAGE, 16),
    "encoder-b4": ({"source": {"torch": "small_model:encoder", "seed": 0},
                    "inputs": [{**STREAM, "shape": ["batch", 128, 512]}]}, 4),
    "copies": ({"source": {"torch": "bound_models:takes", "seed": 0},
                "inputs": [{**STREAM, "shape": ["batch", 1 << 24]}]}, 1),
    "launches": ({"source": {"torch": "bound_models:enqueues", "seed": 0},
                  "inputs": [{**STREAM, "shape": ["batch", 16]}]}, 1),
}  # fmt: skip
"""Model and batch size, here and below."""
GPU_BOUND: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "resnet50-b32": (IMAGE, 32),
    "encoder-b32": (HOST_BOUND["encoder-b4"][0], 32),
    "products": ({"source": {"torch": "bound_models:computes", "seed": 0},
                  "inputs": [{**STREAM, "shape": ["batch", 4096]}]}, 512),
    "copies-in": HOST_BOUND["copies"],
    "copies-out": ({"source": {"torch": "bound_models:gives", "seed": 0},
                    "inputs": [{**STREAM, "shape": ["batch", 1]}]}, 1),
}  # fmt: skip
SMALL: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "mlp": (gpubench.SMALL, 64),
    "encoder": ({"source": {"torch": "small_transformer:tiny", "seed": 0},
                 "inputs": [{**STREAM, "shape": ["batch", 128, 512]}]}, 1),
    "conv": ({"source": {"torch": "small_model:conv", "seed": 0},
              "inputs": [{**STREAM, "shape": ["batch", 3, 16, 16]}]}, 32),
}  # fmt: skip
METHODS = ("stressors", "iGniter's formula", "adding utilisations")
LONGEST_S = 190.0
"""Of one mode, on a GPU; what was measured by then is kept."""


def scenario(device: str, mode: str, bound: str = "gpu") -> dict[str, Any]:
    """Of one mode; io is host, so that copies count."""
    gpu = device == "cuda"
    workloads = {"gpu": GPU_BOUND, "host": HOST_BOUND}[bound] if gpu else SMALL
    parity = {"inputs": 1, "on_mismatch": "measure"}
    tenants = [
        {"name": name, "load": {"concurrency": 1, "batch_size": batch},
         "model": {"name": name, **{k: v for k, v in model.items() if k != "name"},
                   "parity": parity}}
        for name, (model, batch) in workloads.items()
    ]  # fmt: skip
    return {
        "scenario": f"interference-{mode}", "model": tenants[0]["model"],
        "backends": [{"kind": "torch", "device": device, **({} if gpu else {"threads": 1})}],
        "sharing": {"tenants": tenants, "modes": [mode], "predict": True},
        "measurement": {
            "profile": "quick", "rounds": 1, "warmup": "50ms", "warmup_requests": 3,
            "window": "800ms", "window_requests": 20, "window_max": "1600ms", "distinct_inputs": 1,
        },
    }  # fmt: skip


def measure(asked: argparse.Namespace) -> None:
    """Each mode's run, and what all say as interference.json."""
    asked.output.mkdir(parents=True, exist_ok=True)
    folders = [str(Path(__file__).parent), str(gpubench.ROOT)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    found, begin = [], time.monotonic()
    for mode in asked.modes:
        path, run = asked.output / f"{mode}.yaml", asked.output / mode
        if not _whole(run):
            begun = (run / "journal.jsonl").exists()
            if not begun:
                path.write_text(
                    json.dumps(scenario(asked.device, mode, asked.bound), indent=1)
                )  # JSON is YAML
            words = ["--resume", str(run)] if begun else [str(path), "-o", str(run)]
            _share(words, env, LONGEST_S if asked.device == "cuda" else 1200.0)
        found.append(_said(run))
        record = {
            "benchmark": "interference", "device": asked.device, "bound": asked.bound,
            "modes": found,
            "seconds": time.monotonic() - begin, "machine": describe_machine(),
            "packages": package_versions(packages()), "started": found[-1].pop("created"),
        }  # fmt: skip
        (asked.output / "interference.json").write_text(json.dumps(jsonable(record), indent=1))
        print("\n".join(found[-1]["answers"]), flush=True)


def _share(words: Sequence[str], env: Mapping[str, str], most: float) -> None:
    command = [sys.executable, "-m", "harness", "share", *words, "-q"]
    with subprocess.Popen(command, env=env) as process:
        try:
            process.wait(most)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _whole(run: Path) -> bool:
    journal = run / "journal.jsonl"
    return journal.exists() and '"complete"' in journal.read_text("utf-8").splitlines()[-1]


def _said(run: Path) -> dict[str, Any]:
    """What a run says, with every slow-down that a prediction is made from."""
    from harness.tenants.predicted_tables import words
    from harness.tenants.prediction import predictions
    from harness.tenants.results import read_results
    from harness.tenants.show import to_json

    found = read_results(run)
    (mode,) = found.modes
    said = to_json(found)
    return {
        "created": str(found.data.manifest.get("created", "")), "mode": mode.words,
        "complete": found.data.complete, "failures": said["failures"],
        "flags": said["flags"], "predicted": said["predicted"],
        "answers": [text for each in predictions(found) for text in words(each)],
        "probed": [{"of": a, "beside": b, "slow_down": slow}
                   for (a, b), slow in found.probed(mode).slow_down.items()],
        "mean_ms": {m.point: m.latency_mean_ms for m in found.data.measurements},
    }  # fmt: skip


# ---------------------------------------------------------------------------------------- the page


def page(*records: Mapping[str, Any]) -> pages.Page:
    """Every pair, with what each method says of it; of the one set of workloads, or of both."""
    record = records[0]
    lines = [
        *pages.opening(
            record, "PYTHONPATH=. python benchmarks/gpu/interference.py --output OUT", "PYTHONPATH="
            ". python benchmarks/gpu/interference.py --render OUT --page docs/benchmarks",
            trial="A trial of the script on the CPU, on a machine that others used.",
        ),
        "[sharing.md](../sharing.md#prediction) says how slow-downs are predicted from stressors, "
        "and what the two others are. Eager PyTorch, one caller each, one round; a slow-down is the"
        " mean time of a request beside the other over that alone. The pairs below ran together, "
        "and no prediction has seen them. The target was a mean error of at most 10 %, and less "
        "than that of both others.", "", *_met(records), "",
        "What waits for the host, which launches kernel after kernel, has times that scatter from "
        "window to window whoever runs beside it: a slow-down below 1 is such scatter, and it is in"
        " the errors.", "",
    ]  # fmt: skip
    for record in records:
        for found in record["modes"]:
            lines += [f"## Under {found['mode']}{WAITS[record.get('bound', 'host')]}", ""]
            for predicted in found["predicted"]:
                lines += _mode(predicted)
            if not found["predicted"]:
                lines += ["Not all that a prediction takes was measured.", ""]
            lines += [
                f"* Could not be measured: {f['cell']}: {f['why']}" for f in found["failures"]
            ]
    return pages.Page("interference", "Interference, predicted from stressors", lines)


WAITS = {"gpu": ", workloads that wait for the GPU", "host": ", workloads that wait for the host"}
"""Behind a heading, by what bounds them."""


def _met(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """How the target was met, a row each."""
    rows = []
    for record in records:
        for found in record["modes"]:
            for predicted in found["predicted"]:
                ours, *others = predicted["mean_error"].values()
                met = "met" if ours <= 0.1 and ours < min(others) else "missed"
                rows.append([
                    found["mode"] + WAITS[record.get("bound", "host")],
                    str(sum(p["measured"] is not None for p in predicted["pairs"])),
                    *map(pages.percent, predicted["mean_error"].values()), met,
                ])  # fmt: skip
    return pages.table(["mean errors", "held out", *METHODS, "target"], rows)


def _mode(predicted: Mapping[str, Any]) -> list[str]:
    methods = list(predicted["mean_error"])
    held = [pair for pair in predicted["pairs"] if pair["measured"] is not None]
    rows = [
        [pair["of"], pair["beside"], f"{pair['measured']:.2f}",
         *(_off(pair["slow_down"][name], pair["measured"]) for name in methods)]
        for pair in held
    ]  # fmt: skip
    errors = [
        "**mean error**",
        "",
        "",
        *(pages.percent(predicted["mean_error"][m]) for m in methods),
    ]
    worst = ["largest", "", "", *(
        pages.percent(max((abs(p["slow_down"][m] / p["measured"] - 1) for p in held), default=None))
        for m in methods
    )]  # fmt: skip
    parts = predicted["acts_like"]
    names = list(next(iter(parts.values())))
    return [
        *pages.table(["requests of", "beside", "measured", *methods], [*rows, errors, worst]), "",
        "What each acts like, in parts of a stressor:", "",
        *pages.table(["", *names],
                     [[t, *(f"{p[n]:.2f}" for n in names)] for t, p in parts.items()]),
        "",
    ]  # fmt: skip


def _off(predicted: float, measured: float) -> str:
    return f"{predicted:.2f} ({signed(predicted / measured - 1, '.0%')})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="folder for the JSON and the runs")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--bound", choices=("gpu", "host"), default="gpu")
    parser.add_argument("--modes", nargs="+", choices=("time_slicing", "mps"))
    parser.add_argument("--render", type=Path, nargs="+", metavar="OUT",
                        help="write the page of these folders")  # fmt: skip
    parser.add_argument("--page", type=Path, help="the folder that the page goes into")
    asked = parser.parse_args()
    asked.modes = asked.modes or (["time_slicing", "mps"] if asked.device == "cuda" else [
        "time_slicing"])  # fmt: skip
    if asked.render is None:
        asked.output = asked.output.resolve()
        measure(asked)
    if asked.page is not None:
        sources = [folder / "interference.json" for folder in asked.render or [asked.output]]
        print(page(*(json.loads(s.read_text("utf-8")) for s in sources)).write(asked.page))
        for number, source in enumerate(sources):
            name = f"gpu-interference{'' if number == 0 else f'-{number + 1}'}.json"
            (asked.page / name).write_bytes(source.read_bytes())


if __name__ == "__main__":
    main()
