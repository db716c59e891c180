"""What bounds a request: the words, and the error rates on simulated machines."""

from __future__ import annotations

import numpy as np
import pytest
from support.kineto import ROOF, WORK, Machine, events_of, truth

from harness.inspect.trace import kineto
from harness.profile.bound import KINDS, judge, scaled, utilisation
from harness.profile.result import Bound, Gpu, Row
from harness.profile.split import gpu_of, split


def bound_of(machine: Machine, seed: int = 0, requests: int = 10) -> Bound:
    trace = kineto(events_of(machine, requests, np.random.default_rng(seed)))
    return judge(split(trace, WORK, ROOF), (), ROOF, gpu_of(trace))


@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        (Machine(), "compute-bound"), (Machine(launch_us=60.0), "launch-bound"),
        (Machine(norms=80), "memory-bound"), (Machine(copy_us=3000.0), "copy-bound"),
    ],
)  # fmt: skip
def test_each_kind_is_named(machine: Machine, kind: str) -> None:
    found = bound_of(machine)
    assert (found.kind, found.lead_low > 0) == (kind, True)
    assert found.words.startswith(kind.capitalize())
    assert "kernels a request" in found.words


def test_names_are_right_and_ties_have_none() -> None:
    """The large one is benchmarks/profile_bound.py."""
    rng = np.random.default_rng(3)
    named = wrong = 0
    for trial in range(60):
        machine = Machine(
            int(rng.integers(4, 30)), int(rng.integers(4, 30)), float(rng.uniform(3, 60)),
            float(rng.uniform(3, 60)), float(rng.uniform(3, 60)), float(rng.uniform(5, 500)), 0.2,
        )  # fmt: skip
        shares = truth(machine)
        kind = bound_of(machine, trial, 6).kind
        named += kind != "mixed"
        wrong += kind not in ("mixed", KINDS[max(shares, key=lambda p: shares[p])])
    assert named >= 40
    assert wrong <= 2
    tie = Machine(15, 15, 40.0, 40.0, 3.0, 5.0, 0.3)
    assert sum(bound_of(tie, seed, 6).kind != "mixed" for seed in range(40)) <= 5


def test_one_request_decides_nothing() -> None:
    found = bound_of(Machine(), requests=1)
    assert (found.kind, found.lead_low, found.lead_high) == ("mixed", -1.0, 1.0)
    assert "neither is the one" in found.words


def row(side: str, us: float, flop: float, size: float) -> Row:
    return Row("torch", "x", "x", "", 2, us, 0.1, flop, size, side)  # type: ignore[arg-type]


def test_the_share_of_the_ceiling_is_of_the_operators_on_its_side() -> None:
    rows = [row("compute", 20, 1e9, 1e6), row("memory", 40, 0.0, 1e7)]
    assert utilisation(rows, ROOF, "compute") == pytest.approx(0.5)
    assert utilisation(rows, ROOF, "memory") == pytest.approx(0.25)
    assert utilisation(rows, ROOF, "launch") is utilisation([], ROOF, "memory") is None


def test_the_evidence_is_in_the_words() -> None:
    parts = {"wall": [100.0] * 3, "waiting": [10.0] * 3, "launch": [20.0] * 3, "copies": [0.0] * 3,
             "compute": [60.0] * 3, "memory": [20.0] * 3, "other": [0.0] * 3}  # fmt: skip
    rows = [row("compute", 20, 1e9, 1e6), row("memory", 40, 0.0, 1e7)]
    near = judge(parts, rows, ROOF, None).words
    assert near == (
        "Compute-bound: compute-side operators take 60% of a request, launching and dispatch 20%. "
        "They reach 50 TFLOP/s, 50% of the 100 TFLOP/s measured here. 4 operators a request of "
        "15.0 µs on average; one that does nothing takes 0.0 µs; 10% of the time is outside of all."
    )
    far = judge(parts, [row("compute", 200, 1e9, 1e6)], ROOF, Gpu(0.5, 4, 2.5, 3, 7.0, 0.75)).words
    assert "5% of the 100 TFLOP/s measured here: the kernels hold them back" in far
    assert (
        "busy 50% of the time: 4 kernels a request of 2.5 µs on average, against 3 gaps of 7.0"
        in far
    )
    assert "in 75% of the idle time" in far


@pytest.mark.parametrize(
    ("value", "text"), [(5.13e13, "51.3 T"), (2e9, "2 G"), (3e6, "3 M"), (4e3, "4 k"), (7, "7 ")]
)
def test_rates_have_prefixes(value: float, text: str) -> None:
    assert scaled(value) == text
