"""What the GPU benchmarks share: options, the record they write, the model, and child processes.

Every benchmark prepares ResNet-50 once, then measures each case in a fresh process of its own, so
that a case that fails or crashes is written down and the rest goes on. The record is saved after
each case.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
# of this checkout, whatever is installed
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from pages import Page  # noqa: E402

from harness.backends.base import BackendContext  # noqa: E402
from harness.models.tensors import PreparedModel  # noqa: E402
from harness.scenario.spec.backend import packages  # noqa: E402
from harness.system.files import jsonable  # noqa: E402
from harness.system.guard import spawn  # noqa: E402
from harness.system.machine import describe_machine, git_state, package_versions  # noqa: E402
from harness.system.paths import cache_directory  # noqa: E402

MIB = 2**20
RESNET50 = {
    "name": "resnet50",
    "source": {"torch": "harness.models.resnet:resnet50", "seed": 0},
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 3, 224, 224]}],
}
"""As in scenarios/resnet50-gpu.yaml, so that its files in the cache are used again."""
SMALL = {
    "name": "small-mlp",
    "source": {"torch": "small_model:mlp", "seed": 0},
    "inputs": [{"name": "input", "dtype": "float32", "shape": ["batch", 256]}],
}
"""Two small linear layers: a request of tens of microseconds, where every disturbance shows."""
Settings = Mapping[str, Any]


def options(description: str | None) -> argparse.Namespace:
    """The command line of every benchmark; --case is how it starts itself again."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--output", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="few repeats, to try the script")
    parser.add_argument("--only", nargs="*", help="these cases alone")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="of the scenario, where one is run")  # fmt: skip
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser.parse_args()


class Record:
    """The JSON of one benchmark."""

    def __init__(self, name: str, asked: argparse.Namespace) -> None:
        asked.output.mkdir(parents=True, exist_ok=True)
        self.path: Path = asked.output / f"{name}.json"
        self._begin = time.monotonic()
        self.data: dict[str, Any] = {
            "benchmark": name, "schema": 1,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": ["python", *sys.argv], "device": asked.device, "quick": asked.quick,
            "machine": describe_machine(), "packages": package_versions(packages()),
            "git": git_state(ROOT), "cases": {}, "failures": {},
        }  # fmt: skip

    def attempt(self, case: str, work: Callable[[], Any]) -> None:
        """Do one case; what it returns, or why it failed, goes into the record."""
        begin = time.monotonic()
        try:
            self.data["cases"][case] = jsonable(work())
        except Exception as error:
            traceback.print_exc()
            self.data["failures"][case] = str(error) or type(error).__name__
        print(f"{case}: {time.monotonic() - begin:.1f} s", flush=True)
        self._save()

    def keep(self, case: str, found: Any) -> None:
        """What there is of a case so far, should it be its last."""
        self.data["cases"][case] = jsonable(found)
        self._save()

    def _save(self) -> None:
        self.data["seconds"] = time.monotonic() - self._begin
        self.path.write_text(json.dumps(self.data, indent=1), encoding="utf-8")


def chosen(asked: argparse.Namespace, cases: Sequence[str]) -> list[str]:
    """The cases that --only leaves."""
    return [c for c in cases if not asked.only or c in asked.only]


def run_alone(
    name: str, description: str | None, measure: Callable[[argparse.Namespace], Any],
    page: Callable[[Mapping[str, Any]], Page],
) -> None:  # fmt: skip
    """The program of a benchmark of one case: measures it, or with --page OUT FOLDER writes the
    page of what OUT holds.
    """
    if sys.argv[1:2] == ["--page"]:
        record = json.loads(Path(sys.argv[2], f"{name}.json").read_text("utf-8"))
        print(page(record).write(Path(sys.argv[3])))
        return
    asked = options(description)
    Record(name, asked).attempt(name, lambda: measure(asked))


# ------------------------------------------------------------------------------------- the model


def prepare_model(
    asked: argparse.Namespace, spec: Mapping[str, Any], formats: Sequence[str],
    batches: Sequence[int],
) -> None:  # fmt: skip
    """Export the model, or find it in the cache; children read it with `read_model`."""
    from harness.models.prepare import prepare
    from harness.scenario.spec.model import ModelSpec

    parsed = ModelSpec.model_validate_json(json.dumps(spec))
    model, _ = prepare(parsed, formats, batches, cache_directory(), base=Path(__file__).parent)
    for format, why in model.failures.items():
        print(f"{model.name} has no {format}: {why}", flush=True)
    asked.output.mkdir(parents=True, exist_ok=True)
    _model_file(asked, model.name).write_text(json.dumps(jsonable(model.to_json())))


def _model_file(asked: argparse.Namespace, name: str) -> Path:
    return Path(asked.output) / f".{name}.model.json"


def read_model(asked: argparse.Namespace, name: str = "resnet50") -> PreparedModel:
    """What `prepare_model` left."""
    return PreparedModel.from_json(json.loads(_model_file(asked, name).read_text()))


def open_case(model: PreparedModel, settings: Settings, batches: Sequence[int]) -> Any:
    """The backend that `settings` describe, not loaded yet."""
    from harness.backends.registry import open_backend, parse_spec

    context = BackendContext(model, cache=cache_directory(), batch_sizes=tuple(batches))
    return open_backend(parse_spec(dict(settings)), context)


def on_device(settings: Settings, device: str) -> dict[str, Any]:
    """The same settings for the CPU when the benchmark is only tried."""
    made = dict(settings)
    if device == "cuda":
        return made
    if made["kind"] == "torch":
        made |= {"device": "cpu", "precision": "fp32"}
    elif made["kind"] == "onnxruntime":
        made |= {"provider": "CPUExecutionProvider", "precision": "fp32", "io": "host"}
    return made


# --------------------------------------------------------------------------------- child processes


class ChildError(Exception):
    """The child answered with an error, ended, or did not answer in time."""


class Child:
    """This script again with `--case`, in a process tree of its own; one JSON message a line."""

    def __init__(self, script: str, asked: argparse.Namespace, case: str) -> None:
        self.log = Path(asked.output) / f"{Path(script).stem}-{case}.log"
        argv = [sys.executable, script, "--output", str(asked.output), "--device", asked.device,
                "--case", case, *(["--quick"] if asked.quick else [])]  # fmt: skip
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        theirs_in, self._commands = os.pipe()
        self._answers, theirs_out = os.pipe()
        with self.log.open("wb") as log:
            self._process = spawn(
                argv, stdin=theirs_in, stdout=theirs_out, stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""

    @property
    def root(self) -> int:
        """The pid below which the process tree hangs."""
        return self._process.pid

    def ask(self, do: str, timeout: float = 120.0, **arguments: Any) -> dict[str, Any]:
        """Send a command, wait for its answer. Raises ChildError."""
        try:
            os.write(self._commands, json.dumps({"do": do, **arguments}).encode() + b"\n")
        except BrokenPipeError:
            raise ChildError(f"the process ended{self._last_words()}") from None
        end = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            if not select.select([self._answers], [], [], max(0.0, end - time.monotonic()))[0]:
                raise ChildError(f"no answer to '{do}' in {timeout:g} s")
            chunk = os.read(self._answers, 1 << 16)
            if not chunk:
                raise ChildError(f"the process ended{self._last_words()}")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ChildError(answer["error"])
        return answer

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1][:300]}" if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._commands)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            os.close(self._answers)


def serve(handlers: Mapping[str, Callable[..., Any]]) -> None:
    """The child's end: answer commands until end of file; libraries print to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        message = json.loads(line)
        try:
            answer = jsonable(handlers[message.pop("do")](**message) or {})
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    sys.stderr.flush()
    os._exit(0)  # a runtime's own threads must not keep the process alive


def one_case(
    script: str, asked: argparse.Namespace, case: str, *, timeout: float
) -> Callable[[], dict[str, Any]]:
    """Work for `Record.attempt`: the case measured in a process of its own."""

    def work() -> dict[str, Any]:
        with Child(script, asked, case) as child:
            return child.ask("measure", timeout=timeout)

    return work
