"""TensorRT-RTX 1.4, 1.5, 1.6 and 1.7 against each other: ResNet-50 and a small transformer in fp16.

    python benchmarks/gpu/versions.py --output OUT --seconds 240      on a GPU; best with two
    python benchmarks/gpu/versions.py --render OUT --sample reports/tensorrt-versions

Each step is one `harness compare`: both versions in blocks, an engine built anew in each (six a
side), or the layers of a comparison that was measured before. Steps come best first; what the time
does not reach is left out, what it cuts off stays as far as it came, and the run directories are
all that a comparison needs later. With two GPUs each has a lane of its own, on its own half of the
processors; both sides of a comparison are always in one lane. Every version has an environment
`/tmp/env-rtxNN`, whose `tensorrt_rtx` is its own and whose other packages are those of this Python.

`--device cpu` tries it with ONNX Runtime, one environment against itself; about three minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gpubench

from harness.system.machine import probe_gpus

HERE = Path(__file__).parent
VERSIONS = {"14": "1.4.0.76", "15": "1.5.0.114", "16": "1.6.1.120", "17": "1.7.1.116"}
MODELS = {
    "resnet50": """\
model:
  name: resnet50
  source: {torch: "harness.models.resnet:resnet50", seed: 0}
  inputs: [{name: input, dtype: float32, shape: [batch, 3, 224, 224]}]
""",
    "transformer": """\
model:
  name: small-transformer
  source: {torch: "small_transformer:encoder", seed: 0}
  inputs: [{name: input, dtype: float32, shape: [batch, 128, 512]}]
""",
}
SCENARIO = """\
# Two versions of TensorRT-RTX, an engine built anew in each block.
scenario: tensorrt-versions-{model}
{text}environments:
{environments}backends:
{backends}load: {{batch_sizes: [1, 8], concurrency: [1]}}
measurement: {{profile: quick, warmup: 300ms, warmup_requests: 20, window: {window}, window_max: 2s,
              window_requests: {requests}, load_timeout: 120s}}
"""
END_S = 15.0
"""What a step that is cut off has for its last words."""


class Step(NamedTuple):
    """One command; `after` is the step whose layers it looks at."""

    name: str
    model: str
    base: str
    candidate: str
    seconds: float
    """That it may take at most."""
    blocks: int = 6
    after: str = ""


STEPS = (
    Step("resnet50-15-16", "resnet50", "15", "16", 130),
    Step("resnet50-16-17", "resnet50", "16", "17", 60, blocks=4),
    Step("resnet50-15-16-layers", "resnet50", "15", "16", 90, after="resnet50-15-16"),
    Step("transformer-15-16", "transformer", "15", "16", 120),
    Step("transformer-15-16-layers", "transformer", "15", "16", 90, after="transformer-15-16"),
    Step("resnet50-14-16", "resnet50", "14", "16", 100),
    Step("transformer-14-16", "transformer", "14", "16", 100),
)
"""Best first."""
LANES = (
    ("resnet50-15-16", "resnet50-15-16-layers", "resnet50-14-16"),
    ("transformer-15-16", "resnet50-16-17", "transformer-15-16-layers", "transformer-14-16"),
)
"""The same for two GPUs."""


# ------------------------------------------------------------------------------------ measuring


class Lane(NamedTuple):
    """A GPU, the processors beside it, and what is done there."""

    device: str
    cpus: frozenset[int]
    steps: tuple[Step, ...]


def lanes(asked: argparse.Namespace) -> list[Lane]:
    """Two where there are two GPUs, else one."""
    cpus = sorted(os.sched_getaffinity(0))
    by_name = {s.name: s for s in STEPS if not asked.only or s.name in asked.only}
    if asked.device == "cpu":
        return [Lane("cpu", frozenset(cpus), tuple(by_name.values())[:3])]
    if len(probe_gpus()) < 2:
        return [Lane("cuda:0", frozenset(cpus), tuple(by_name.values()))]
    half = len(cpus) // 2
    return [
        Lane(f"cuda:{n}", frozenset(part), tuple(by_name[s] for s in LANES[n] if s in by_name))
        for n, part in enumerate((cpus[:half], cpus[half:]))
    ]


def python_of(version: str, device: str) -> str:
    """The interpreter of a version's environment."""
    return f"/tmp/env-rtx{version}/bin/python" if device != "cpu" else sys.executable


def name_of(version: str) -> str:
    """`rtx-1.5`."""
    return f"rtx-{'.'.join(VERSIONS[version].split('.')[:2])}"


def scenario(step: Step, device: str, *, quick: bool) -> str:
    """The step's scenario as text."""
    text = MODELS[step.model]
    if device == "cpu":
        text = MODELS["transformer"].replace(":encoder", ":tiny")
    kind = (
        "kind: onnxruntime, threads: 1" if device == "cpu" else
        f"kind: tensorrt, flavor: tensorrt-rtx, device: {device}, precision: fp16, io: device, "
        "cuda_graphs: true, rebuild: true"
    )  # fmt: skip
    sides = (step.base, step.candidate)
    return SCENARIO.format(
        model=step.model, text=text, window="200ms" if quick else "1s",
        requests=11 if quick else 662,
        environments="".join(
            f"  {name_of(v)}: {{python: {python_of(v, device)}}}\n" for v in sides
        ),
        backends="".join(
            f"  - {{name: {name_of(v)}, {kind}, environment: {name_of(v)}}}\n" for v in sides
        ),
    )  # fmt: skip


def command(step: Step, lane: Lane, asked: argparse.Namespace) -> list[str]:
    """`harness compare` for a step."""
    sides = ["--base", name_of(step.base), "--candidate", name_of(step.candidate)]
    files = ["--json", str(asked.output / f"{step.name}.json")]
    if step.after:
        what = [str(asked.output / step.after), "--layers", "--layer-blocks", "5"]
    else:
        written = asked.output / f"{step.name}.yaml"
        written.write_text(scenario(step, lane.device, quick=asked.quick), encoding="utf-8")
        blocks = "4" if asked.quick else str(step.blocks)
        what = [str(written), "-o", str(asked.output / step.name), "--blocks", blocks]
    return [sys.executable, "-m", "harness", "compare", *what, *sides, *files]


def carry_out(lane: Lane, asked: argparse.Namespace, end: float) -> dict[str, Any]:
    """The lane's steps until its time is up: what each came to."""
    found: dict[str, Any] = {}
    for step in lane.steps:
        left = end - time.monotonic()
        limit = min(left - END_S / 3, step.seconds * (10 if lane.device == "cpu" else 1))
        absent = [
            p for v in (step.base, step.candidate)
            if not Path(p := python_of(v, lane.device)).exists()
        ]  # fmt: skip
        if absent or left < END_S:
            found[step.name] = {"left_out": f"{absent[0]} is not there" if absent else "no time"}
        elif step.after and not (asked.output / step.after / "journal.jsonl").exists():
            found[step.name] = {"left_out": f"{step.after} was not measured"}
        else:
            found[step.name] = one(step, lane, asked, limit)
        print(step.name, json.dumps(found[step.name]), flush=True)
        file = asked.output / f"versions-{lane.device.replace(':', '')}.json"
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def one(step: Step, lane: Lane, asked: argparse.Namespace, limit: float) -> dict[str, Any]:
    """Run a step; one that takes too long is asked to end, and keeps what it has."""
    begin = time.monotonic()
    argv = command(step, lane, asked)
    path = os.pathsep.join([str(gpubench.ROOT), os.environ.get("PYTHONPATH", "")])
    with (asked.output / f"{step.name}.txt").open("wb") as said:
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, sorted(lane.cpus))), *argv], cwd=HERE, stdout=said,
            stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        cut = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            cut = True
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return {
        "command": argv[2:], "device": lane.device, "exit_code": process.returncode, "cut": cut,
        "seconds": round(time.monotonic() - begin, 1),
    }  # fmt: skip


def measure(asked: argparse.Namespace) -> None:
    """All lanes beside each other."""
    asked.output = asked.output.resolve()
    asked.output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + asked.seconds
    threads = [threading.Thread(target=carry_out, args=(lane, asked, end)) for lane in lanes(asked)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for folder in asked.output.glob("*/telemetry"):
        shutil.rmtree(folder)  # of no use to a comparison


# ------------------------------------------------------------------------------------ rendering

KEPT = ("manifest.json", "journal.jsonl", "compare/*--*.json", "samples/*")
"""Of a run directory; samples only until the comparison is drawn."""
README = """\
# A real comparison: versions of TensorRT-RTX on one NVIDIA H200

Made by `benchmarks/gpu/versions.py` with `harness compare`; an engine was built anew in each block.
Each folder is a run directory without its samples: `harness compare FOLDER` judges it again,
*compare.html* and *compare.pdf* show it, *compare.md* is the comment that a pull request would get,
*compare.json* has everything. Layers were profiled in blocks of their own.

| what | candidate against base | verdict | why |
|---|---|---|---|
{rows}
{left_out}
"""


def render(out: Path, sample: Path) -> None:
    """Run directories small enough to be committed, each with its comparison drawn."""
    rows = []
    sample.mkdir(parents=True, exist_ok=True)
    for step in STEPS:
        run = out / step.name
        if step.after or not (run / "journal.jsonl").exists():
            continue
        target = sample / step.name
        shutil.rmtree(target, ignore_errors=True)
        for file in (f for pattern in KEPT for f in run.glob(pattern)):
            copy = target / file.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        rows.append(_drawn(step, sample))
        shutil.rmtree(target / "samples", ignore_errors=True)
    text = README.format(rows="\n".join(rows), left_out="\n".join(_left_out(out)))
    (sample / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def _drawn(step: Step, sample: Path) -> str:
    """The comparison in every form; its row of the README."""
    formats = {"json": "json", "markdown": "md", "junit": "xml", "html": "html", "pdf": "pdf"}
    files = [f"--{option}={step.name}/compare.{end}" for option, end in formats.items()]
    sides = [name_of(step.base), name_of(step.candidate)]
    argv = [sys.executable, "-m", "harness", "compare", step.name, "--base", sides[0],
            "--candidate", sides[1], "-q", *files]  # fmt: skip
    path = os.pathsep.join([str(gpubench.ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        argv, cwd=sample, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    file = sample / step.name / "compare.json"
    if not file.exists():
        return (
            f"| {step.name} | {' against '.join(reversed(sides))} | none | {_line(done.stderr)} |"
        )
    (found,) = json.loads(file.read_text(encoding="utf-8"))["comparisons"]
    return (
        f"| [{step.name}]({step.name}/compare.html) | {sides[1]} against {sides[0]} | "
        f"{found['verdict'].upper()} | {_line(found['explanation'])} |"
    )


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _left_out(out: Path) -> Iterable[str]:
    """Steps that the time cut off or did not reach."""
    for file in sorted(out.glob("versions-*.json")):
        for name, said in json.loads(file.read_text(encoding="utf-8")).items():
            if why := said.get("left_out"):
                yield f"* `{name}` was left out: {why}."
            elif said["cut"]:
                yield f"* `{name}` was cut off after {said['seconds']} s."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or render what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="folder for run directories and results")
    parser.add_argument("--seconds", type=float, default=240.0, help="that it may take at most")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="short windows, four blocks")
    parser.add_argument("--only", nargs="*", help="these steps alone")
    parser.add_argument("--render", type=Path, metavar="OUT", help="what was measured there")
    parser.add_argument("--sample", type=Path, help="--render: the folder that is written")
    asked = parser.parse_args(arguments)
    if asked.render is not None:
        render(asked.render.resolve(), asked.sample.resolve())
    elif asked.output is not None:
        measure(asked)
    else:
        parser.error("give --output, or --render and --sample")


if __name__ == "__main__":
    main()
