"""What `harness prepare` makes, step by step: each file against the reference, and the engines.

PyTorch → ONNX → engine: an ONNX file runs in ONNX Runtime on the CPU, an engine where there is a
GPU for it. Without one TensorRT-RTX builds it all the same, and that shows whether it can.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.backends.base import BackendContext
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import open_backend
from harness.backends.tensorrt.settings import TensorRtSettings
from harness.errors import BackendError, DeviceError, HarnessError, SetupError
from harness.models.reference import write_references
from harness.models.tensors import PreparedModel
from harness.results.rows import ArtifactRow, ParityRow
from harness.run.worker.parity import check
from harness.scenario.spec.scenario import Scenario

OPEN = """
import sys, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""


@dataclass(frozen=True, slots=True)
class Step:
    """An ONNX file, or the engine of a backend, and how far it is from the reference."""

    name: str
    """The file's format, or the backend's name."""
    parity: Sequence[ParityRow] = ()
    engine: ArtifactRow | None = None
    failure: str = ""
    """Why there is no engine, where no other machine would have one either, or why ONNX Runtime
    does not run the file.
    """

    @classmethod
    def unverified(cls, name: str, why: str, engine: ArtifactRow | None = None) -> Step:
        """One that could not be run here."""
        return cls(name, [ParityRow(name, 1, "unavailable", "", message=why)], engine)


@dataclass(frozen=True, slots=True)
class Workshop:
    """A prepared model and what its steps need."""

    scenario: Scenario
    model: PreparedModel
    cache: Path

    def steps(self, *, engines: bool = True) -> Iterator[Step]:
        """Every ONNX file of the model, then each TensorRT backend's engine if they are asked for.

        The reference outputs are those of a run, and are kept for it.
        """
        files = {k: v for k, v in self.model.files.items() if k.startswith("onnx")}
        if not files:
            return
        parity, batches = self.scenario.model.parity, self.scenario.load.batch_sizes
        references = write_references(self.model, parity, batches, self.cache)
        for format, path in files.items():
            precision = format.removeprefix("onnx").lstrip("_") or self.model.precision
            one = replace(self.model, files={"onnx": path}, precision=precision)
            spec = OnnxRuntimeSettings(kind="onnxruntime", name=format)
            try:
                _opens(Path(path))
                rows, _ = self._run(spec, one, references)
            except BackendError as error:
                yield replace(
                    Step.unverified(format, error.message),
                    failure=f"ONNX Runtime: {error}" if self._runs_onnx else "",
                )
            except HarnessError as error:
                yield Step.unverified(format, error.message)
            else:
                yield Step(format, rows)
        for backend in self.scenario.backends if engines else ():
            if isinstance(backend, TensorRtSettings):
                yield self._engine(backend, references)

    @property
    def _runs_onnx(self) -> bool:
        """Whether a backend runs ONNX files as this step does: in ONNX Runtime, on the CPU."""
        return any(
            not b.on_gpu and "onnxruntime" in (b.kind, getattr(b, "serve", None))
            for b in self.scenario.backends
        )

    def _run(
        self, spec: OnnxRuntimeSettings | TensorRtSettings, model: PreparedModel, references: Path
    ) -> tuple[list[ParityRow], Mapping[str, object]]:
        """Parity of a loaded backend, and what loading it says."""
        batches = self.scenario.load.batch_sizes
        with open_backend(spec, self._context(model)) as runs:
            facts = runs.load().details
            return check(runs, model, spec, self.scenario.model.parity, batches, references), facts

    def _context(self, model: PreparedModel) -> BackendContext:
        timeout, batches = self.scenario.measurement.request_timeout, self.scenario.load.batch_sizes
        return BackendContext(model, timeout, cache=self.cache, batch_sizes=batches)

    def _engine(self, spec: TensorRtSettings, references: Path) -> Step:
        if spec.environment:
            return Step.unverified(spec.name, f"a run builds it in '{spec.environment}'")
        try:
            try:
                rows, facts = self._run(spec, self.model, references)
            except DeviceError as error:
                return Step.unverified(spec.name, error.message, self._without_gpu(spec))
            seconds = float(str(facts["build_seconds"]))
            engine = _row(spec, Path(str(facts["engine"])), seconds, not facts["built"])
            return Step(spec.name, rows, engine)
        except SetupError as error:
            return Step.unverified(spec.name, str(error))
        except HarnessError as error:
            return Step(spec.name, failure=error.message)

    def _without_gpu(self, spec: TensorRtSettings) -> ArtifactRow | None:
        """The portable engine of TensorRT-RTX; None where that is not the flavour."""
        from harness.backends.tensorrt import cache, library
        from harness.backends.tensorrt.backend import build_options, onnx_format

        flavor, model = library.find(spec.flavor), self.model
        if not flavor.rtx:
            return None
        onnx = model.file(onnx_format(flavor, spec.precision))
        options = build_options(spec, self._context(model))
        target = cache.EngineTarget(model.name, model.key, onnx, "", options)
        built = cache.get(flavor, target, self.cache, library.Messages())
        return _row(spec, built.path, built.seconds, built.cached)


def _row(spec: TensorRtSettings, path: Path, seconds: float, cached: bool) -> ArtifactRow:
    return ArtifactRow(
        "engine", str(path), path.stat().st_size, seconds, cached, {"backend": spec.name}
    )


def _opens(path: Path) -> None:
    """Raise BackendError where ONNX Runtime ends the process that opens a file, before it is ours:
    its optimiser crashes on some graphs in fp16.
    """
    command = [sys.executable, "-c", OPEN, str(path)]
    opened = subprocess.run(command, check=False, capture_output=True)
    if opened.returncode < 0:
        name = signal.Signals(-opened.returncode).name
        raise BackendError(f"opening {path.name} in ONNX Runtime ended the process by {name}")
