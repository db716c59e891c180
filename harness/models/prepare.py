"""The model, prepared once for every backend: weights, ONNX file, complete inputs and outputs.

Runs in a worker process of the harness's own environment; torch is imported only when the source
needs it. Everything made is kept in a cache, in a folder named by the model's key: SHA-256 over
the source, the factory's code, the weights' bytes, the inputs, the opset that is exported to, the
versions of torch and onnx, and the code of this package: versions of the harness share a cache, and
none takes what another made differently. PyTorch sources give `state_dict` (or
`exported_program`) and, when a backend needs it, `onnx` and `onnx_fp16`; ONNX sources give `onnx`;
all others have nothing to prepare.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.errors import HarnessError, UnexpectedError, UsageError, translate, translated
from harness.models import onnx_file, propagation
from harness.models.cache import CacheEntry, fetch, file_hash, text_hash
from harness.models.inputs import make_inputs
from harness.models.precision import Precision, convert, precision_of
from harness.models.tensors import InputData, PreparedModel, TensorSpec
from harness.results.rows import ArtifactRow
from harness.scenario.sizes import every_size, largest
from harness.scenario.spec.model import ModelSpec
from harness.system.faults import known
from harness.system.machine import package_versions
from harness.system.packages import require

if TYPE_CHECKING:
    from harness.models.torch_model import TorchModel

FORMATS = ("onnx", "onnx_fp16", "onnx_bf16", "torch")
Rows = list[ArtifactRow]
Begin = Callable[[str], object]
FACTS = (
    "exporter", "fallback_reason", "opset", "verified", "parameters", "precision", "kept_in_fp32",
    "refused_nodes",
)  # fmt: skip
"""Details of an entry that go into its row."""


def prepare(
    spec: ModelSpec, formats: Sequence[str], batch_sizes: Sequence[int], cache: Path, *,
    base: Path, begin: Begin = lambda _: None,
) -> tuple[PreparedModel, Rows]:  # fmt: skip
    """Make what `formats` (a subset of `FORMATS`) ask for; relative paths are relative to `base`.

    A format that can't be made is left out of `files`, with the reason in `failures`, so that the
    other backends still run. `begin` is told each format before it is made. Raises UsageError when
    the scenario or the model is wrong, SetupError when a package or disk space is missing for what
    every backend needs.
    """
    model = _written(spec, batch_sizes, base)
    steps = {"torch": _from_torch, "exported_program": _from_torch, "onnx": _from_onnx}
    return steps.get(spec.source.kind, _from_nothing)(
        model, tuple(formats), tuple(batch_sizes), cache, begin
    )


def check(spec: ModelSpec, batch_sizes: Sequence[int], *, base: Path) -> PreparedModel:
    """Whether an ONNX file fits the scenario, as `prepare` finds out before it makes anything.

    The model as its file says it is; other sources are not opened. Raises UsageError,
    MissingPackageError.
    """
    model = _written(spec, batch_sizes, base)
    return _read_onnx(model, batch_sizes)[0] if spec.source.kind == "onnx" else model


def _written(spec: ModelSpec, batch_sizes: Sequence[int], base: Path) -> PreparedModel:
    """The model as far as the scenario says it."""
    inputs = tuple(TensorSpec(i.name, i.dtype, i.shape) for i in spec.inputs)
    return PreparedModel(
        spec.name, _resolve(spec, base), "", inputs, (), dynamic=largest(spec.dynamic),
        sizes=every_size(spec.dynamic), data=_data(spec, base), batch=spec.batch,
        max_batch_size=max(batch_sizes),
    )  # fmt: skip


# ---------------------------------------------------------------------------- what the user wrote


def _resolve(spec: ModelSpec, base: Path) -> dict[str, object]:
    """The source with absolute paths; its kind is the first key."""
    source = spec.source
    if source.kind == "torch":
        weights = str(_existing(source.weights, base, "source.weights")) if source.weights else None
        return {
            "torch": source.torch, "kwargs": dict(source.kwargs), "seed": source.seed,
            "weights": weights, "base": str(base.resolve()),
        }  # fmt: skip
    if source.kind in ("onnx", "exported_program", "engine"):
        path = _existing(getattr(source, source.kind), base, f"source.{source.kind}")
        return {source.kind: str(path), **({"trust": True} if source.trust else {})}
    return {source.kind: source.triton if source.kind == "triton" else {}}


def _existing(path: str, base: Path, key: str) -> Path:
    found = (base / path).resolve()
    if not found.is_file():
        raise UsageError(f"model.{key}: no such file: {found}")
    return found


def _data(spec: ModelSpec, base: Path) -> dict[str, InputData]:
    """Input name → how its data is made, with absolute paths."""
    made: dict[str, InputData] = {}
    for item in spec.inputs:
        dumped = item.model_dump(mode="json", include={"data", "range", "value"})
        if isinstance(dumped["data"], dict):
            where = f"inputs: {item.name}"
            files = [str(_existing(file, base, where)) for file in dumped["data"].get("files", ())]
            dumped["data"] |= {"files": files} if files else {}
        made[item.name] = cast(InputData, dumped)
    return made


def _key(model: PreparedModel, content: Mapping[str, object]) -> str:
    versions = package_versions(["torch"])
    makers = [versions.get(name) for name in ("onnx", "torch")]
    makers += [file_hash(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    shapes = [(i.name, i.dtype, i.shape) for i in model.inputs]
    sizes = [dict(model.dynamic), *map(dict, model.sizes)]
    return text_hash(content, shapes, sizes, onnx_file.OPSET, makers)


def folder_of(model: PreparedModel, cache: Path) -> Path:
    """The model's folder in the cache."""
    return cache / f"{model.name}-{model.key[:16]}"


def _row(format: str, file: str, entry: CacheEntry) -> ArtifactRow:
    details = {k: entry.details[k] for k in FACTS if entry.details.get(k) is not None}
    path = str(entry.path / file)
    return ArtifactRow(format, path, entry.bytes, entry.seconds, entry.cached, details)


# ---------------------------------------------------------------------------- sources in PyTorch


def _from_torch(
    model: PreparedModel, formats: tuple[str, ...], batches: tuple[int, ...], cache: Path,
    begin: Begin,
) -> tuple[PreparedModel, Rows]:  # fmt: skip
    require("torch")
    from harness.models.weights import weights_precision

    program = "exported_program" in model.source
    module, content = _open_program(model, batches) if program else _open_factory(model)
    own = weights_precision(module.module)
    model = replace(model, key=_key(model, content), precision=own, widened=module.widened)
    format, file = ("exported_program", "model.pt2") if program else ("state_dict", "state_dict.pt")
    build = functools.partial(_write_weights, model, module, min(batches), file)
    weights = fetch(folder_of(model, cache) / format, build)
    model = replace(
        model,
        outputs=tuple(TensorSpec(n, d, tuple(s)) for n, d, s in weights.details["outputs"]),
        files={format: str(weights.path / file)},
    )
    if call := weights.details["call"]:
        from harness.models.binding import bind

        model = replace(model, source={**model.source, "call": call})
        module = bind(module.own, [i.name for i in model.inputs], call)
    model = replace(model, notes=(module.note,) if module.note else ())
    if (fixed := weights.details["fixed_batch"]) is not None:
        onnx_file.check_batches(model.name, {i.name: (fixed,) for i in model.inputs}, batches)
    rows = [_row(format, file, weights)]
    export = functools.partial(
        _write_onnx, model, module, batches, fixed, weights.details["parameters"]
    )
    return _add_onnx(model, rows, formats, folder_of(model, cache), export, begin)


def _open_factory(model: PreparedModel) -> tuple[TorchModel, dict[str, object]]:
    from harness.models.binding import bind
    from harness.models.factory import build, code_hash, factory_of
    from harness.models.weights import weights_hash

    module = build(model.source)
    asked = {k: model.source[k] for k in ("torch", "kwargs", "seed")}
    content = {**asked, "code": code_hash(factory_of(model.source)), "state": weights_hash(module)}
    return bind(module, [i.name for i in model.inputs]), content


def _open_program(
    model: PreparedModel, batches: Sequence[int]
) -> tuple[TorchModel, dict[str, object]]:
    from harness.models.program import open_program, program_inputs, read_program, scenario_names

    path = Path(model.source["exported_program"])
    trust, names = bool(model.source.get("trust")), [i.name for i in model.inputs]
    shapes = program_inputs(read_program(path, trust=trust))
    axes = onnx_file.batch_axes(model.inputs)
    ours = scenario_names(path, shapes, names)
    fixed = {w: shape for w, shape in shapes.items() if ours[w] in axes}
    onnx_file.check_batches(str(path), fixed, batches, {w: axes[ours[w]] for w in fixed})
    return open_program(path, names, trust=trust), {"exported_program": file_hash(path)}


def _write_weights(
    model: PreparedModel, module: TorchModel, batch: int, file: str, folder: Path
) -> dict[str, object]:
    import torch

    from harness.models.weights import parameter_count

    call, outputs, fixed = _traced(model, module, batch)
    if "exported_program" in model.source:
        shutil.copyfile(model.source["exported_program"], folder / file)
    else:
        torch.save(module.own.state_dict(), folder / file)
    return {
        "outputs": [(o.name, o.dtype, o.shape) for o in outputs],
        "parameters": parameter_count(module.module), "fixed_batch": fixed,
        "call": call,
    }  # fmt: skip


def _traced(
    model: PreparedModel, module: TorchModel, batch: int
) -> tuple[str, tuple[TensorSpec, ...], int | None]:
    """How forward takes the inputs, where its signature leaves that open, and `trace_outputs`.

    Raises UsageError with what each way of calling it gave.
    """
    from harness.models.binding import ways
    from harness.models.export import trace_outputs

    inputs_of = functools.partial(make_inputs, model, variant=0)
    least = {name: min(s[name] for s in model.sizes) for name in model.sizes[0]}
    smaller = functools.partial(make_inputs, model.sized(least), variant=0) if least else None
    found = {"": module}
    if "exported_program" not in model.source:
        found = ways(module.own, [i.name for i in model.inputs])
    reasons = {}
    for call, bound in found.items():
        try:
            outputs, fixed = trace_outputs(bound, model.inputs, inputs_of, batch, smaller)
        except HarnessError:
            raise
        except Exception as error:
            reasons[call], first = str(translate(error)), error
            continue
        return (call if len(found) > 1 else ""), outputs, fixed
    shown = ", ".join(f"{i.name}: {i.dtype} {list(i.shape)}" for i in model.inputs)
    why = "; ".join(f"{call}: {why}" if len(reasons) > 1 else why for call, why in reasons.items())
    raise UsageError(
        f"{model.name} fails on its own inputs at batch {batch} ({shown}): {why}",
        fix="compare model.inputs with what the model's forward takes",
    ) from first


def _write_onnx(
    model: PreparedModel, module: TorchModel, batches: Sequence[int], fixed: int | None,
    parameters: int, folder: Path,
) -> dict[str, object]:  # fmt: skip
    from harness.models.export import EXAMPLE_BATCH, export_onnx

    inputs_of = functools.partial(make_inputs, model, variant=0)
    some = {word: size or EXAMPLE_BATCH for word, size in model.dynamic.items()}
    example_of = functools.partial(make_inputs, replace(model, dynamic=some), variant=0)
    done = export_onnx(
        module, model.inputs, model.outputs, inputs_of, batches, folder, fixed=fixed,
        example_of=example_of,
    )  # fmt: skip
    return {**done, "parameters": parameters}


# --------------------------------------------------------------------------------- ONNX and others


def _from_onnx(
    model: PreparedModel, formats: tuple[str, ...], batches: tuple[int, ...], cache: Path,
    begin: Begin,
) -> tuple[PreparedModel, Rows]:  # fmt: skip
    if "torch" in formats:
        raise UsageError(
            "model.source.onnx: PyTorch can't run an ONNX file",
            fix="remove the torch backends, or give a torch source",
        )
    path, given = Path(model.source["onnx"]), model.inputs
    model, facts = _read_onnx(model, batches)
    model = replace(model, key=_key(model, {"onnx": onnx_file.model_hash(path)}))

    def copy(folder: Path) -> dict[str, object]:
        onnx_file.copy_model(path, folder / "model.onnx", given)
        return {**facts, "precision": model.precision}

    return _add_onnx(model, [], ("onnx", *formats), folder_of(model, cache), copy, begin)


def _read_onnx(
    model: PreparedModel, batches: Sequence[int]
) -> tuple[PreparedModel, dict[str, object]]:
    """The model with the file's inputs and outputs, and facts of the file."""
    path = Path(model.source["onnx"])
    onnx_file.check_file(path, model.inputs)
    inputs, outputs, facts = onnx_file.read_graph(path, model.inputs)
    following = propagation.following(path, outputs, model)
    reading = onnx_file.read_inputs(path, inputs, outputs, model, batches, following)
    read = replace(
        model, inputs=reading.inputs, outputs=reading.outputs, precision=precision_of(path),
        notes=(f"{reading.words}; `model.batch` can say otherwise",) if reading.guessed else (),
    )  # fmt: skip
    return read, facts


def _from_nothing(
    model: PreparedModel, formats: tuple[str, ...], batches: tuple[int, ...], cache: Path,
    begin: Begin,
) -> tuple[PreparedModel, Rows]:  # fmt: skip
    """Fake, Triton and engine sources: nothing to export, nothing known about the outputs."""
    kind, value = next(iter(model.source.items()))
    if formats:
        raise UsageError(
            f"model.source.{kind}: a backend needs the model as {', '.join(sorted(formats))}, "
            f"which a {kind} source does not have",
            fix="give a torch or onnx source, or remove that backend",
        )
    # so that the batch size reaches the fake backend
    if kind == "fake" and not model.inputs and model.batch != "none":
        model = replace(model, inputs=(TensorSpec("input", "float32", ("batch", 1)),))
    content = {kind: file_hash(Path(value)) if kind == "engine" else value}
    return replace(model, key=_key(model, content)), []


def _add_onnx(
    model: PreparedModel, rows: Rows, formats: Iterable[str], folder: Path,
    build: Callable[[Path], Mapping[str, object]], begin: Begin,
) -> tuple[PreparedModel, Rows]:  # fmt: skip
    """Add `onnx`, `onnx_fp16` and `onnx_bf16` where they are asked for."""
    steps: dict[str, Callable[[Path], Mapping[str, object]]] = {
        "onnx": build,
        "onnx_fp16": lambda target: _converted(model, "fp16", target),
        "onnx_bf16": lambda target: _converted(model, "bf16", target),
    }
    wanted = set(steps) & set(formats)
    wanted |= {"onnx"} if wanted else set()
    for format in sorted(wanted):
        if "onnx" in model.failures:  # nothing to convert
            model = replace(model, failures=dict.fromkeys(wanted, model.failures["onnx"]))
            break
        begin(format)
        try:
            entry = fetch(folder / format, steps[format])
        except Exception as error:
            if isinstance(why := known(error), UsageError | UnexpectedError):
                raise
            failed = {format: (why.reason, why.message, why.fix)}
            model = replace(model, failures={**model.failures, **failed})
            continue
        model = replace(model, files={**model.files, format: str(entry.path / "model.onnx")})
        rows = [*rows, _row(format, "model.onnx", entry)]
    return model, rows


def _converted(model: PreparedModel, precision: Precision, folder: Path) -> dict[str, object]:
    """Weights and operators in fp16 or bf16, inputs and outputs as they were."""
    with translated(f"converting to {precision}"):
        return convert(model.file("onnx"), folder / "model.onnx", precision)
