"""How often `harness compare` cries wolf on the real CPU backend, and whether it finds 5 %.

    PYTHONPATH=. python benchmarks/compare_aa.py --output OUT [--minutes 60]      measures
    PYTHONPATH=. python benchmarks/compare_aa.py --output OUT --page docs/benchmarks

ONNX Runtime on one thread runs twenty equal matrix products. In A/A the candidate is the base under
another name, forty times; in the others it does one such product more after each request, real work
of 5 %, ten times; then the layers of a network are profiled in which one operator is made slower,
ten times. Comparisons take turns, what is measured is kept after each, and a second call goes on
where the first ended. With the profile `quick` a comparison takes half a minute to three (all of it
about an hour and a half), with `standard` two to ten minutes. It needs a machine on which nothing
else runs. Beside the verdicts the naive rule: the medians of the first five measurements of each
side, a regression from 5 % on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of, register
from harness.compare.comparing import within
from harness.compare.layers.matching import judge_layers
from harness.compare.layers.profiling import BLOCKS, profile_blocks
from harness.compare.measuring import begin
from harness.compare.result import Comparison
from harness.compare.subjects import Subject, Subjects
from harness.compare.verdicts import LOOKS
from harness.models.prepare import prepare
from harness.results.events import Event
from harness.results.store import read_run
from harness.scenario.spec.backend import packages
from harness.scenario.spec.model import ModelSpec, Parity
from harness.system.machine import describe_machine, package_versions
from harness.system.paths import cache_directory

LAYERS, WIDTH, ROWS = 20, 512, 64
COUNTS = {"aa": 40, "slower": 10, "layer": 10}
"""How many of each; one in four or five turns is none of A/A."""
SCENARIO = """\
scenario: compare-aa
model: {{name: products, batch: none, source: {{onnx: products.onnx}}}}
backends:
  - {{name: base, kind: onnxruntime, threads: 1}}
  - {{name: candidate, {candidate}, threads: 1}}
load: {{concurrency: [1]}}
measurement: {{profile: {profile}{more}}}
"""
CANDIDATES = {"aa": "kind: onnxruntime", "slower": "kind: padded, one: {folder}/one.onnx"}


def products(path: Path, layers: int) -> Path:
    """[ROWS, WIDTH] through so many equal matrix products."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), f"w{n}"
        )
        for n in range(layers)
    ]
    names = ["x", *(f"h{n}" for n in range(layers - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]], name=f"product{n}")
        for n in range(layers)
    ]
    return _save(path, nodes, weights, [ROWS, WIDTH], [ROWS, WIDTH])


def resized(path: Path, mode: str) -> Path:
    """Eight layers, of which the fourth is a Resize: many times slower in the mode `cubic`."""
    scales = numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")
    nodes, now = [], "x"
    for n in range(8):
        out = "y" if n == 7 else f"h{n}"
        if n == 3:
            nodes.append(
                helper.make_node("Resize", [now, "", "scales"], [out], name="resize", mode=mode)
            )
        else:
            kind = ("Sigmoid", "Tanh", "Erf")[n % 3]
            nodes.append(helper.make_node(kind, [now], [out], name=f"layer{n}"))
        now = out
    return _save(path, nodes, [scales], [1, 8, 64, 64], [1, 8, 256, 256])


def _save(
    path: Path, nodes: Sequence[Any], weights: Sequence[Any], into: list[int], out: list[int]
) -> Path:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, into)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)], weights,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


# ------------------------------------------------------------------------------------ measuring


class Silent:
    """An observer that hears nothing."""

    def notify(self, event: Event) -> None:
        """Take one event."""


def compared(kind: str, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """One comparison from its beginning to its verdict."""
    path = folder / f"{kind}.yaml"
    path.write_text(
        SCENARIO.format(
            candidate=CANDIDATES[kind].format(folder=folder),
            profile=asked.profile,
            more=", warmup: 50ms, window: 200ms" if asked.quick else "",
        )
    )
    most = LOOKS[0] if asked.quick else LOOKS[-1]
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
    """Whether the medians of five of both are 5 % apart in any metric."""
    sides = [side.points[found.points[0].place].values for side in (found.base, found.candidate)]
    for row in found.points[0].rows:
        a, b = (statistics.median(list(s[row.metric.key].values())[:5]) for s in sides)
        if abs(np.log(b / a)) > np.log1p(0.05):
            return True
    return False


def planted(folder: Path, blocks: int) -> dict[str, Any]:
    """Whether the slow layer is first, and is named."""
    both = Subjects(*(_subject(folder, n) for n in ("nearest", "cubic")), Parity())
    found = judge_layers(profile_blocks(both, folder / "out", lambda _: None, blocks))
    first = found.changes[0]
    return {"first": first.name, "named": first.named, "others": len(found.named) - first.named}


def _subject(folder: Path, mode: str) -> Subject:
    path = resized(folder / f"{mode}.onnx", mode)
    spec = ModelSpec.model_validate({"name": mode, "source": {"onnx": str(path)}})
    model, _ = prepare(spec, ("onnx",), (1,), cache_directory(), base=folder)
    settings = OnnxRuntimeSettings(kind="onnxruntime", name=mode, threads=1)
    task = {"backend": message_of(settings), "model": model.to_json(), "batches": [1],
            "cache": str(cache_directory())}  # fmt: skip
    return Subject(mode, "onnxruntime", "fp32", sys.executable, {}, task, (1,))


def turns(counts: Mapping[str, int]) -> Iterator[str]:
    """The kinds in turn, so that whatever changes over the hours is in all of them."""
    left = dict(counts)
    while any(left.values()):
        kind = max(left, key=lambda k: left[k] / counts[k])
        left[kind] -= 1
        yield kind


def measure(asked: argparse.Namespace, file: Path, data: dict[str, Any]) -> None:
    """All that is missing, until the time is up."""
    end = time.monotonic() + 60 * asked.minutes
    done = {kind: len(data[kind]) for kind in COUNTS}
    seen = dict.fromkeys(COUNTS, 0)
    counts = dict.fromkeys(COUNTS, 1) if asked.quick else COUNTS
    for kind in turns(counts):
        seen[kind] += 1
        if seen[kind] <= done[kind]:
            continue
        if time.monotonic() > end:
            print("the time is up: another call goes on from here")
            return
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            products(folder / "products.onnx", LAYERS)
            products(folder / "one.onnx", 1)
            blocks = 3 if asked.quick else BLOCKS
            found = planted(folder, blocks) if kind == "layer" else compared(kind, folder, asked)
        data[kind].append({**found, "seconds": time.monotonic() - start})
        file.write_text(json.dumps(data, indent=1), encoding="utf-8")
        print(kind, seen[kind], json.dumps(data[kind][-1]), flush=True)


# ------------------------------------------------------------------------------------- the page


def wilson(hits: int, n: int) -> str:
    """A share with its 95 % interval."""
    if not n:
        return "n/a"
    share, z = hits / n, 1.96
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return f"{hits} of {n} ({max(0.0, middle - half):.0%} to {middle + half:.0%})"


def page(data: Mapping[str, Any]) -> str:
    """The page of results."""

    def count(kind: str, hit: Callable[[Mapping[str, Any]], bool]) -> str:
        return wilson(sum(map(hit, data[kind])), len(data[kind]))

    decided = ("regression", "improvement")
    rows = [
        ("A/A: a regression or an improvement", count("aa", lambda r: r["verdict"] in decided)),
        ("A/A: equivalent", count("aa", lambda r: r["verdict"] == "equivalent")),
        ("A/A: the naive rule finds a change", count("aa", lambda r: r["naive"])),
        ("5 % slower: a regression", count("slower", lambda r: r["verdict"] == "regression")),
        ("5 % slower: the naive rule finds a change", count("slower", lambda r: r["naive"])),
        ("a slow layer: first in the table", count("layer", lambda r: r["first"] == "resize")),
        ("a slow layer: named", count("layer", lambda r: r["named"])),
        ("a slow layer: another is named too", count("layer", lambda r: r["others"] > 0)),
    ]
    lines = "\n".join(f"| {what} | {found} |" for what, found in rows)
    blocks = {k: [r["blocks"] for r in data[k]] for k in ("aa", "slower")}
    mean = {k: f"{statistics.fmean(v):.1f}" if v else "n/a" for k, v in blocks.items()}
    return f"""# What `harness compare` finds on the real CPU backend

Written by `python benchmarks/compare_aa.py` on {data["machine"]["cpu"]["model"]} with ONNX Runtime
{data["packages"].get("onnxruntime", "")} on one thread,
profile `{data["profile"]}`, {data["started"]}.
{__doc__.split("    PYTHONPATH")[0].strip().splitlines()[0]} What is measured: twenty equal matrix
products a request; 5 % slower is one more of them. Shares with their 95 % interval (Wilson); blocks
that a comparison took: {mean["aa"]} in A/A, {mean["slower"]} with 5 %.

| what | how often |
|---|---|
{lines}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of compare_aa.json")
    parser.add_argument("--minutes", type=float, default=60.0, help="nothing begins after these")
    parser.add_argument("--profile", choices=("quick", "standard"), default="quick")
    parser.add_argument("--quick", action="store_true", help="one of each, short: to try it")
    parser.add_argument("--page", type=Path, help="write the page into this folder")
    asked = parser.parse_args()
    asked.output = asked.output.resolve()
    asked.output.mkdir(parents=True, exist_ok=True)
    file = asked.output / "compare_aa.json"
    data: dict[str, Any] = {
        "schema": 1, "started": time.strftime("%Y-%m-%d"), "profile": asked.profile,
        "machine": describe_machine(), "packages": package_versions(packages()),
        **{kind: [] for kind in COUNTS},
    }  # fmt: skip
    if file.exists():
        data = json.loads(file.read_text(encoding="utf-8"))
    if asked.page is not None:
        (asked.page / "compare-aa.md").write_text(page(data), encoding="utf-8")
        return
    register(
        "padded", settings="compare_padded:PaddedSettings", backend="compare_padded:PaddedBackend"
    )  # fmt: skip
    os.chdir(Path(__file__).parent)  # a worker imports the padded backend from here
    measure(asked, file, data)


if __name__ == "__main__":
    main()
