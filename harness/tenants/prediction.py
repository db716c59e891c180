"""What a sharing run predicts of its pairs, and how far off that is where they were measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.analysis.summary import SummaryRow
from harness.tenants.predicting import (
    Pair,
    by_igniter,
    by_utilisation,
    errors,
    mean,
    mixtures,
    predict,
)
from harness.tenants.results import Results, tenant_pairs
from harness.tenants.settings import Mode
from harness.tenants.stressors import LAUNCHES, MEMORY, of_copies

STRESSORS, UTILISATION, IGNITER = "stressors", "adding utilisations", "iGniter's formula"


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one mode."""

    mode: Mode
    by: Mapping[str, Mapping[Pair, float]]
    """Method → slow-down of each pair; `stressors` is the harness's own."""
    measured: Mapping[Pair, float]
    """Of the pairs that ran together, which no method has seen."""
    mixtures: Mapping[str, Mapping[str, float]]
    """Tenant → the parts of stressors that it acts like."""

    @property
    def error(self) -> dict[str, float | None]:
        """Method → mean over the measured pairs of the share by which it is off."""
        return {name: mean(errors(found, self.measured)) for name, found in self.by.items()}


def prediction(found: Results, mode: Mode) -> Prediction | None:
    """None where nothing is predicted, or something that it takes was not measured."""
    probed = found.probed(mode)
    if not probed.known:
        return None
    copies = of_copies(found.stressors)
    gpu = bool(copies)
    by = {
        STRESSORS: predict(probed),
        IGNITER: by_igniter(probed, MEMORY, copies, LAUNCHES if gpu else None),
    }
    busy = {name: _busy(found, mode, name, gpu=gpu) for name in probed.tenants}
    known = {name: share for name, share in busy.items() if share is not None}
    if len(known) == len(busy):
        by[UTILISATION] = by_utilisation(probed, known)
    measured = {
        pair: slow.value for pair in tenant_pairs(found.sharing)
        if (slow := found.slowed(mode, *pair)) is not None
    }  # fmt: skip
    return Prediction(mode, by, measured, mixtures(probed))


def predictions(found: Results) -> list[Prediction]:
    """Of each mode that has one."""
    every = (prediction(found, mode) for mode in found.modes)
    return [one for one in every if one is not None]


def _busy(found: Results, mode: Mode, name: str, *, gpu: bool) -> float | None:
    """The share of the device that a tenant uses alone: of the time in which any kernel of it runs,
    or of the processors.
    """
    row = found.rows.get(found.design.probed[mode.id, name].id)
    if row is None or not row.measurements:
        return None
    if gpu:
        percent = row.plain("gpu_utilization_percent")
        return None if percent is None else percent / 100
    return _of_processors(found, row)


def _of_processors(found: Results, row: SummaryRow) -> float | None:
    usable = ((found.data.manifest.get("machine") or {}).get("cpu") or {}).get("usable")
    cores = row.value("cpu_cores")
    return None if cores is None or not usable else cores.value / float(usable)
