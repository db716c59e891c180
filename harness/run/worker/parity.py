"""Correctness before speed: a backend's outputs against the eager fp32 reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.backends.base import Backend, run_once
from harness.models.inputs import make_inputs
from harness.models.parity import TOLERANCES, Comparison, Rule, compare, loosest
from harness.models.reference import ReferenceOutputs
from harness.models.tensors import PreparedModel
from harness.results.rows import ParityRow
from harness.scenario.sizes import label_of
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.model import Parity

SAID = "the model's configuration on the server"
"""What an answer is held to before anything else, also where there is no reference."""


def check(
    backend: Backend, model: PreparedModel, spec: AnyBackend, parity: Parity,
    batch_sizes: Sequence[int], reference_dir: Path,
) -> list[ParityRow]:  # fmt: skip
    """One row a batch size, and a set of the sizes that vary: the loaded backend on
    `parity.inputs` distinct inputs.

    `spec` is the backend's settings, of which name and precision are used. Outputs that disagree
    are a row, not an exception; what the backend raises goes through.
    """
    reference = ReferenceOutputs.open(reference_dir)
    return [
        _check_sizes(backend, model, spec, parity, batch, sizes, reference)
        for batch in batch_sizes
        for sizes in model.sizes
    ]


def _check_sizes(
    backend: Backend, model: PreparedModel, spec: AnyBackend, parity: Parity, batch: int,
    sizes: Mapping[str, int], reference: ReferenceOutputs,
) -> ParityRow:  # fmt: skip
    row = ParityRow(spec.name, batch, "unavailable", "", sizes=label_of(sizes))
    against = backend.contradictions(make_inputs(model.sized(sizes), batch, 0))
    if wrong := [text for name, text in against.items() if name not in parity.ignore]:
        return replace(row, status="disagrees", reference=SAID, inputs=1, message="; ".join(wrong))
    if reference.unavailable:
        return replace(row, message=reference.unavailable)
    expected = [reference.outputs(batch, variant, sizes) for variant in range(parity.inputs)]
    left_out = {*reference.unstable, *parity.ignore}
    noise = _noise([n for n in reference.unstable if n not in parity.ignore])
    if left_out >= expected[0].keys():
        return replace(row, message=noise or "model.parity.ignore leaves out every output")
    precision = loosest(model.precision, getattr(spec, "precision", "fp32"))
    total = Comparison()
    for variant, outputs in enumerate(expected):
        found = run_once(backend, make_inputs(model.sized(sizes), batch, variant))
        total += compare(found, outputs, precision, parity, left_out)
    return replace(
        row, status="agrees" if total.agrees else "disagrees",
        reference=reference.words, inputs=parity.inputs,
        max_abs_error=total.max_abs if total.values else None, mean_abs_error=total.mean_abs,
        max_rel_error=total.max_rel if total.values else None,
        tolerance=str(Rule.of(precision, parity)), top1_agreement=total.top1,
        message="; ".join(filter(None, [total.message + _hint(spec, precision, total), noise])),
    )  # fmt: skip


def _noise(names: Sequence[str]) -> str:
    """Why outputs of the model can't be compared; empty for none."""
    if not names:
        return ""
    return (
        f"not compared: {', '.join(names)}, which the reference itself gives differently when it "
        "is run twice on the same inputs (noise, dropout, a clock)"
    )


def _hint(spec: AnyBackend, precision: str, total: Comparison) -> str:
    """How far off it was and which key allows that; whether TensorRT may have run fp32 in TF32."""
    if not any(p.what.startswith(("break", "differ")) for p in total.problems):
        return ""
    runs = (spec.kind, getattr(spec, "serve", ""), getattr(spec, "provider", ""))
    tensorrt = any("tensorrt" in (name or "").lower() for name in runs)
    tf32 = tensorrt and precision == "fp32" and total.max_rel <= TOLERANCES["tf32"][0]
    hint = "; TensorRT may have used TF32: ask for precision: tf32" if tf32 else ""
    exact, more = (f"{total.max_abs * factor:.3g}" for factor in (1, 1.0051))
    most = exact if float(exact) >= total.max_abs else more  # as it is written, it is enough
    return f"; off by up to {most}, which model.parity.max_abs_error may allow{hint}"
