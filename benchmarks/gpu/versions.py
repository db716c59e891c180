"""TensorRT-RTX 1.4, 1.5, 1.6 and 1.7 against each other: ResNet-50 and a small transformer in fp16.

    python benchmarks/gpu/versions.py --output OUT --prepare              no GPU, half a minute each
    python benchmarks/gpu/versions.py --output OUT --seconds 350 --models resnet50      on one GPU
    python benchmarks/gpu/versions.py --output OUT --seconds 350 --models transformer
    python benchmarks/gpu/versions.py --render OUT [OUT …] --sample reports/tensorrt-versions

Of each model one run: all versions in each round, in balanced order, each engine built anew,
until the rounds are done or the time is up, whichever comes first (what is measured has no say in
it). Then `harness compare` judges each pair of versions by the blocks of that run, profiles the
layers of a pair that is a regression, and compares what the others answer, as far as time goes.
A round of four versions takes 38 s on an H200, the first one 50 s; five whole ones make a verdict.
`--prepare` exports the models before, so that no GPU waits for it; a call with the same `--output`
goes on with a run that was cut off. A version's environment is `/tmp/env-rtxNN`; where there is
none, this Python, if that is the version it has.

`--device cpu` tries it with ONNX Runtime, one environment against itself, and a TensorRT-RTX that
can't run; about two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import gpubench

from harness.scenario.wording import signed

HERE = Path(__file__).parent
VERSIONS = {"14": "1.4.0.76", "15": "1.5.0.114", "16": "1.6.1.120", "17": "1.7.1.116"}
PAIRS = (("15", "16"), ("14", "16"), ("14", "15"), ("16", "17"))
"""Base and candidate; those first whose layers and outputs matter most."""
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
# Versions of TensorRT-RTX, an engine built anew in each round.
scenario: tensorrt-versions-{model}
{text}environments:
{environments}backends:
{backends}load: {{batch_sizes: [1, 8], concurrency: [1]}}
measurement: {{profile: quick, rounds: {rounds}, warmup: 500ms, warmup_requests: 20,
              window: {window}, window_max: 2s, window_requests: {requests}, load_timeout: 120s}}
"""
KEEP_S = 65.0
"""Of the time, for judging and the layers of one regression."""
LEAST_S = {"--layers": 60.0, "--outputs": 15.0}
"""What must be left for one to begin."""
END_S = 15.0
"""What a command that is cut off has for its last words."""


class Pair(NamedTuple):
    """Two versions of one model's run."""

    model: str
    base: str
    candidate: str

    @property
    def file(self) -> str:
        """`resnet50-rtx-1.5--rtx-1.6`."""
        return f"{self.model}-{name_of(self.base)}--{name_of(self.candidate)}"

    @property
    def sides(self) -> list[str]:
        """As `harness compare` is told them."""
        return ["--base", name_of(self.base), "--candidate", name_of(self.candidate)]


def name_of(version: str) -> str:
    """`rtx-1.5`."""
    return f"rtx-{'.'.join(VERSIONS[version].split('.')[:2])}"


# ------------------------------------------------------------------------------------ measuring


def pythons(device: str) -> dict[str, str]:
    """The interpreter of each version that is there."""
    if device == "cpu":
        return dict.fromkeys(VERSIONS, sys.executable)
    found = {}
    for version, full in VERSIONS.items():
        path = Path(f"/tmp/env-rtx{version}/bin/python")
        if path.exists():
            found[version] = str(path)
        elif _own_version() == full:
            found[version] = sys.executable
    return found


def _own_version() -> str:
    try:
        return metadata.version("tensorrt_rtx_cu13_libs")
    except metadata.PackageNotFoundError:
        return ""


def scenario(model: str, there: dict[str, str], asked: argparse.Namespace) -> str:
    """The model's scenario as text."""
    text, cpu = MODELS[model], asked.device == "cpu"
    if cpu:
        text = MODELS["transformer"].replace(":encoder", ":tiny")
    real = (
        "kind: tensorrt, flavor: tensorrt-rtx, device: cuda:0, precision: fp16, io: device, "
        "cuda_graphs: true, rebuild: true"
    )
    kinds = {v: "kind: onnxruntime, threads: 1" if cpu and v != "17" else real for v in there}
    return SCENARIO.format(
        model=model, text=text, window="200ms" if cpu else "500ms", rounds=asked.rounds,
        requests=11 if cpu else 662,
        environments="".join(f"  {name_of(v)}: {{python: {p}}}\n" for v, p in there.items()),
        backends="".join(
            f"  - {{name: {name_of(v)}, {kinds[v]}, environment: {name_of(v)}}}\n" for v in there
        ),
    )  # fmt: skip


def written(model: str, there: dict[str, str], asked: argparse.Namespace) -> Path:
    """The file of that scenario."""
    path = Path(asked.output, f"{model}.yaml")
    path.write_text(scenario(model, there, asked), encoding="utf-8")
    return path


class Budget:
    """The time of this call, and what was done in it."""

    def __init__(self, output: Path, seconds: float) -> None:
        self.output, self.end = output, time.monotonic() + seconds
        self.done: dict[str, Any] = {}

    @property
    def left(self) -> float:
        """Seconds, without those for last words."""
        return self.end - time.monotonic() - END_S

    def run(self, name: str, argv: Sequence[str], limit: float) -> None:
        """A harness command; one that takes too long is asked to end, and keeps what it has."""
        begin = time.monotonic()
        with (self.output / f"{name}.txt").open("ab") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness", *argv], cwd=HERE, stdout=said,
                stderr=subprocess.STDOUT, env=_environment(),
            )  # fmt: skip
            cut = not _ends(process, limit)
        self.note(
            name, command=["harness", *argv], exit_code=process.returncode, cut=cut,
            seconds=round(time.monotonic() - begin, 1),
        )  # fmt: skip

    def note(self, name: str, **said: object) -> None:
        """Keep and print what became of it."""
        self.done[name] = said
        print(name, json.dumps(said), flush=True)


def _ends(process: subprocess.Popen[bytes], limit: float) -> bool:
    """Whether it ends by itself in that time."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return False
    return True


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(gpubench.ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def measure(asked: argparse.Namespace) -> None:
    """The models one after the other; each has its part of the time."""
    asked.output = asked.output.resolve()
    asked.output.mkdir(parents=True, exist_ok=True)
    there = pythons(asked.device)
    for model in asked.models:
        if asked.prepare:
            budget = Budget(asked.output, asked.seconds)
            budget.run(f"prepare-{model}", ["prepare", str(written(model, there, asked))], 300.0)
            continue
        budget = Budget(asked.output, asked.seconds / len(asked.models))
        for version in VERSIONS.keys() - there.keys():
            budget.note(f"{model} {name_of(version)}", left_out="its environment is not there")
        one_model(model, there, budget, asked)
        file = asked.output / f"versions-{model}.json"
        file.write_text(json.dumps(budget.done, indent=1), encoding="utf-8")


def one_model(
    model: str, there: dict[str, str], budget: Budget, asked: argparse.Namespace
) -> None:  # fmt: skip
    """The run, the verdicts, then what explains them."""
    run = budget.output / model
    if (run / "journal.jsonl").exists():  # a call that was cut off: a round more is a block more
        argv = ["run", "--resume", str(run)]
    else:
        argv = ["run", str(written(model, there, asked)), "-o", str(run)]
    budget.run(model, argv, max(30.0, budget.left - KEEP_S))
    shutil.rmtree(run / "telemetry", ignore_errors=True)  # of no use to a comparison
    if not (run / "journal.jsonl").exists():
        return
    pairs = [Pair(model, a, b) for a, b in PAIRS if a in there and b in there]
    for pair in pairs:
        judge(pair, budget, ())
    worse = [p for p in pairs if _worse(budget.output / f"{p.file}.json")]
    for pair in (*worse, *(p for p in pairs if p not in worse and p.candidate != "17")):
        look = "--layers" if pair in worse else "--outputs"
        if budget.left < LEAST_S[look]:
            budget.note(f"{pair.file} {look}", left_out="no time")
            continue
        judge(pair, budget, (look, "--layer-blocks", str(asked.layer_blocks)))


def judge(pair: Pair, budget: Budget, more: Sequence[str]) -> None:
    """`harness compare` of two versions of the run."""
    argv = ["compare", str(budget.output / pair.model), *pair.sides, *more,
            "--json", str(budget.output / f"{pair.file}.json")]  # fmt: skip
    budget.run(" ".join([pair.file, *more[:1]]), argv, budget.left)


def _worse(file: Path) -> bool:
    """Whether a comparison found a regression of what was measured."""
    if not file.exists():
        return False
    (found,) = json.loads(file.read_text(encoding="utf-8"))["comparisons"]
    return any(p["verdict"] == "regression" and p["metrics"] for p in found["points"])


# ------------------------------------------------------------------------------------ rendering

KEPT = ("manifest.json", "journal.jsonl", "compare/*--*.json", "samples/*")
"""Of a run directory; samples only until the comparisons are drawn."""
README = """\
# A real comparison: versions of TensorRT-RTX on one NVIDIA H200

Made by `benchmarks/gpu/versions.py`: of each model one run with all versions in each round, in
balanced order, an engine built anew each time. A folder is such a run without its samples:
`harness compare FOLDER --base rtx-1.5 --candidate rtx-1.6` judges it again. Beside it, of each
pair: `.md` is the comment that a pull request would get, `.pdf` the page, `.json` has everything;
the page as HTML is there for one pair of each model. Layers are profiled where a pair is slower.
Each pair is a question of its own: the levels are not divided among them.

| model | candidate against base | rounds | verdict | p50 latency and GPU memory changed by | why |
|---|---|---|---|---|---|
{rows}

{left_out}
"""


def render(folders: Sequence[Path], sample: Path) -> None:
    """Run directories small enough to be committed, each with its comparisons drawn."""
    rows = []
    sample.mkdir(parents=True, exist_ok=True)
    for out, model in ((o, m) for m in MODELS for o in folders):
        run, target = out / model, sample / model
        if not (run / "journal.jsonl").exists():
            continue
        shutil.rmtree(target, ignore_errors=True)
        for file in (f for pattern in KEPT for f in run.glob(pattern)):
            copy = target / file.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        pairs = [
            p for p in (Pair(model, a, b) for a, b in PAIRS) if (out / f"{p.file}.json").exists()
        ]
        shown = next(
            (p for p in pairs if _worse(out / f"{p.file}.json")), pairs[0] if pairs else None
        )
        rows += [_drawn(pair, sample, html=pair == shown) for pair in pairs]
        shutil.rmtree(target / "samples", ignore_errors=True)
    left_out = "\n".join(line for out in folders for line in _left_out(out))
    text = README.format(rows="\n".join(rows), left_out=left_out)
    (sample / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")


def _drawn(pair: Pair, sample: Path, *, html: bool) -> str:
    """The comparison in every form; its row of the README."""
    formats = {"json": "json", "markdown": "md", "junit": "xml", "pdf": "pdf"}
    files = [f"--{option}={pair.file}.{end}" for option, end in formats.items()]
    files += [f"--html={pair.file}.html"] if html else []
    argv = [sys.executable, "-m", "harness", "compare", pair.model, *pair.sides, "-q", *files]
    done = subprocess.run(
        argv, cwd=sample, env=_environment(), capture_output=True, text=True, check=False
    )
    if not (sample / f"{pair.file}.json").exists():
        return f"| {pair.model} | {pair.file} | – | none | – | {_line(done.stderr)} |"
    return _row(pair, sample, html=html)


def _row(pair: Pair, sample: Path, *, html: bool) -> str:
    file, against = sample / f"{pair.file}.json", " against ".join(pair.sides[3::-2])
    (found,) = json.loads(file.read_text(encoding="utf-8"))["comparisons"]
    page = f"{pair.file}.{'html' if html else 'pdf'}"
    changed = "<br>".join(filter(None, map(_changed, found["points"])))
    return (
        f"| {pair.model} | [{against}]({page}) | {max(p['blocks'] for p in found['points'])} | "
        f"{found['verdict'].upper()} | {changed} | "
        f"{_line(found['explanation'])} |"
    )


def _changed(point: Any) -> str:
    """`b1/c1: −13.3 % [−15.0, −11.6], memory −17.9 %`; empty where nothing was measured."""
    rows = {row["metric"]: row for row in (*point["metrics"], *point["beside"])}
    if not (p50 := rows.get("p50")):
        return ""
    change, low, high = (signed(100 * p50[key], ".1f") for key in ("change", "low", "high"))
    memory = rows.get("gpu_memory_mib")
    said = f"{point['point']}: {change} % [{low}, {high}]"
    return said + (f", memory {signed(100 * memory['change'], '.1f')} %" if memory else "")


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _left_out(out: Path) -> Iterable[str]:
    """What the time cut off or did not reach."""
    for file in sorted(out.glob("versions-*.json")):
        for name, said in json.loads(file.read_text(encoding="utf-8")).items():
            if why := said.get("left_out"):
                yield f"* `{name}` was left out: {why}."
            elif said["cut"]:
                yield f"* `{name}` was ended after {said['seconds']} s, as its time was up."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or render what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="folder for run directories and results")
    parser.add_argument("--seconds", type=float, default=350.0, help="that it may take at most")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--rounds", type=int, default=7, help="engines a version, at most")
    parser.add_argument("--prepare", action="store_true", help="export the models alone")
    parser.add_argument("--layer-blocks", type=int, default=5, help="profiles of a regression")
    parser.add_argument("--render", type=Path, nargs="+", metavar="OUT", help="measured there")
    parser.add_argument("--sample", type=Path, help="--render: the folder that is written")
    asked = parser.parse_args(arguments)
    if asked.render is not None:
        render([folder.resolve() for folder in asked.render], asked.sample.resolve())
    elif asked.output is not None:
        measure(asked)
    else:
        parser.error("give --output, or --render and --sample")


if __name__ == "__main__":
    main()
