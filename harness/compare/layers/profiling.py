"""Profiles of both versions in blocks: a fresh process each, in an order that alternates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.compare.layers.matching import Layers, Profile, judge_layers
from harness.compare.side import backends_of
from harness.errors import DeadlineError, UsageError
from harness.results.store import RunData
from harness.run.environments import package_alone
from harness.run.order import balanced
from harness.system.child import Child
from harness.system.environment import PACKAGE_IN
from harness.system.paths import cache_directory

BLOCKS, WARMUP, RUNS = 9, 10, 40
DEADLINE_S = 600.0
MODULE = "harness.compare.layers.onnxruntime"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """One side: which Python profiles which model how."""

    name: str
    python: str
    env: Mapping[str, str]
    command: Mapping[str, object]
    """Arguments of `harness.compare.layers.onnxruntime.profile`."""

    def profile(self, log: Path) -> Profile:
        """In a process of its own. Raises WorkerDiedError, DeadlineError."""
        arguments = [json.dumps(dict(self.command))]
        with Child(f"the profiler of {self.name}", MODULE, arguments, log=log, python=self.python,
                   env=self.env) as child:  # fmt: skip
            line = child.line(DEADLINE_S)
        if line is None:
            raise DeadlineError(f"the profiler of {self.name} said nothing for {DEADLINE_S:g} s")
        return Profile.of(json.loads(line))


def profile_blocks(
    base: Subject, candidate: Subject, log: Path, tell: Tell, blocks: int = BLOCKS
) -> Layers:
    """Both, `blocks` times. Raises WorkerDiedError, DeadlineError."""
    found = []
    for block in range(blocks):
        tell(f"profiling block {block + 1} of {blocks}")
        sides = {s.name: s.profile(log) for s in balanced([base, candidate], block, "layers")}
        found.append((sides[base.name], sides[candidate.name]))
    return judge_layers(found)


def subjects(data: RunData, base: str, candidate: str) -> tuple[Subject, Subject]:
    """The two backends of a run at its first batch size. Raises UsageError: not ONNX Runtime."""
    files = {a.format: a.path for a in data.artifacts}
    return _subject(data, base, files), _subject(data, candidate, files)


def _subject(data: RunData, name: str, files: Mapping[str, str]) -> Subject:
    spec = next(s for s in backends_of(data) if s.get("name") == name)
    file = files.get("onnx_fp16" if spec.get("precision") == "fp16" else "onnx")
    if spec.get("kind") != "onnxruntime" or file is None or not Path(file).exists():
        raise UsageError(
            f"the layers of {name} can't be profiled: that needs `kind: onnxruntime`, and the ONNX "
            "file that the run had"
        )
    batch = (data.scenario.get("load") or {}).get("batch_sizes") or [1]
    command = {
        "model": file, "provider": spec.get("provider") or "CPUExecutionProvider",
        "threads": spec.get("threads"), "batch": batch[0], "warmup": WARMUP, "runs": RUNS,
    }  # fmt: skip
    lock = (data.manifest.get("environments") or {}).get(spec.get("environment") or "")
    return Subject(name, *_python(lock), command)


def _python(lock: Mapping[str, object] | None) -> tuple[str, dict[str, str]]:
    """The environment's interpreter and its variables, or ours."""
    import sys

    if lock is None:
        return sys.executable, {}
    return str(lock["python"]), {PACKAGE_IN: str(package_alone(cache_directory()))}
