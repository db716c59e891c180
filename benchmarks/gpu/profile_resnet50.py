"""Three findings of `harness profile` on ResNet-50, each tried: predicted and measured saving.

    PYTHONPATH=. python benchmarks/gpu/profile_resnet50.py --output OUT     about five minutes

PyTorch eager in fp32, ONNX Runtime and TensorRT are profiled at batch 1 and 32; then findings of
eager PyTorch that the tutorial guesses at are measured (TensorRT, fp16, a larger batch, …), one
after the other until three have a measured saving; what could not be judged stays in the table
with its reason. `--device cpu --quick` tries the script on a small model. It writes profile.json
and OUT/profile, the profile with its traces and tries; --render makes the page, after each try.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the harness of this checkout, whatever is installed

from harness.profile.execute import start  # noqa: E402
from harness.profile.result import Finding, Profile  # noqa: E402
from harness.profile.store import read_profile  # noqa: E402
from harness.profile.trying import try_findings, words  # noqa: E402
from harness.results.store import read_run  # noqa: E402
from harness.scenario.reading.loader import load  # noqa: E402

WANTED = ("tensorrt", "precision-fp16", "batch", "channels_last", "onnxruntime", "compile")
"""In this order, of what was found, until three were judged."""
ROUNDS = ("measurement.rounds=4", "measurement.rounds_max=4", "measurement.window=500ms")
SCENARIO = """
scenario: profile-resnet50
model:
  name: resnet50
  source: {torch: "harness.models.resnet:resnet50", seed: 0}
  inputs: [{name: input, dtype: float32, shape: [batch, 3, 224, 224]}]
backends:
  - {kind: torch, device: cuda}
  - {kind: onnxruntime, provider: CUDAExecutionProvider}
  - {kind: tensorrt, precision: fp16}
load: {batch_sizes: [1, 32], concurrency: [1]}
measurement: {load_timeout: 600s}
"""
SMALL = """
scenario: profile-small
model:
  name: small-mlp
  source: {torch: "small_model:mlp", seed: 0}
  inputs: [{name: input, dtype: float32, shape: [batch, 256]}]
backends: [{kind: torch}]
load: {batch_sizes: [1], concurrency: [1]}
"""
QUICK = ("measurement.rounds=2", "measurement.rounds_max=2", "measurement.window=100ms")


def chosen(profile: Profile) -> list[Finding]:
    """The wanted findings of the first backend that there are."""
    mine = {f.change: f for f in profile.findings if f.backend == profile.backends[0].name}
    return [mine[change] for change in WANTED if change in mine]


def judged(profile: Profile) -> int:
    """How many findings have a measured saving."""
    return sum(f.tried is not None and f.tried.saving is not None for f in profile.findings)


def page(profile: Profile, manifest: dict[str, object]) -> str:
    """The page of docs/benchmarks."""
    machine = manifest["machine"]
    assert isinstance(machine, dict)
    where = ", ".join(g["name"] for g in machine["gpus"]) or machine["cpu"]["model"]
    lines = [
        "# Three findings of a profile, tried", "", f"On {where}.", "", "```",
        "PYTHONPATH=. python benchmarks/gpu/profile_resnet50.py --output OUT", "```", "",
        *(f"* {b.name} at batch {x.batch}: {x.bound.words}" for b in profile.backends
          for x in b.batches),
        *(f"* {b.name} could not be profiled: {b.failure}" for b in profile.backends if b.failure),
        "", "| finding | batch | saves at most | measured |", "|---|---:|---:|---|",
        *(f"| {f.title} | {f.batch} | {f.saving:.0%} | {words(f)} |" for f in profile.findings
          if f.tried),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for what is written")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="a small model, one try")
    parser.add_argument("--render", action="store_true", help="docs/benchmarks/gpu-profile.md too")
    asked = parser.parse_args(arguments)
    directory = asked.output / "profile"
    asked.output.mkdir(parents=True, exist_ok=True)
    scenario = asked.output / "scenario.yaml"
    scenario.write_text(SMALL if asked.device == "cpu" else SCENARIO, encoding="utf-8")
    if asked.device == "cpu":
        (asked.output / "small_model.py").write_text(
            Path(__file__).with_name("small_model.py").read_text()
        )
    start(load(scenario), directory, print)
    sets = QUICK if asked.quick else ROUNDS
    profile = read_profile(directory)
    for finding in chosen(profile):
        profile = try_findings(directory, [finding], sets, lambda: contextlib.nullcontext(_say))
        write(asked, profile, page(profile, dict(read_run(directory).manifest)))
        if judged(profile) == (1 if asked.quick else 3):
            break
    print(page(profile, dict(read_run(directory).manifest)))


def write(asked: argparse.Namespace, profile: Profile, text: str) -> None:
    """The raw values and, with --render, the page."""
    tried = [
        {"backend": f.backend, "batch": f.batch, "change": f.change, "title": f.title,
         "saves_at_most": f.saving, "line": f.line, "tried": asdict(f.tried), "words": words(f)}
        for f in profile.findings if f.tried
    ]  # fmt: skip
    (asked.output / "profile.json").write_text(json.dumps(tried, indent=1), encoding="utf-8")
    if asked.render:
        (ROOT / "docs/benchmarks/gpu-profile.md").write_text(text, encoding="utf-8")


def _say(event: object) -> None:
    print(getattr(event, "point", ""), flush=True)


if __name__ == "__main__":
    main()
