"""What a run with a known truth is said to show, and how often a verdict is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.shared import KEPT, SLOWED, full, write_shared
from support.synthetic_run import write_bare

from harness.analysis.intervals import log_t_interval
from harness.errors import RunDirectoryError
from harness.tenants.results import (
    Results,
    is_sharing,
    read_results,
    strict_intervals,
    verdict_of,
)


def test_the_truth_lies_in_the_intervals(plain: Results) -> None:
    found = plain
    (mode,) = found.modes
    assert len(found.table) == 4
    for _, compared in found.table:
        kept = compared.throughput_kept
        assert kept is not None
        assert kept.low is not None
        assert kept.high is not None
        assert kept.low < KEPT["time_slicing"] < kept.high
        assert compared.joules_ratio is not None
        assert compared.joules_ratio.value == pytest.approx(1 / KEPT["time_slicing"], rel=0.03)
    for (row, column), truth in {**SLOWED, ("a", "a"): 1.5}.items():
        slow = found.slowed(mode, row, column)
        assert slow is not None
        assert slow.value == pytest.approx(truth, rel=0.03)
    assert max(found.half_widths) < 0.05


def test_the_largest_count_up_to_which_all_hold(good: Results) -> None:
    (mode,) = good.modes
    assert [f.verdict for f in good.fits(mode)] == ["holds", "holds", "fails"]
    assert good.holds(mode) == 2


def test_a_count_without_memory_fails_and_is_a_failure(tmp_path: Path) -> None:
    cell = "time_slicing/a@c2+a#2@c2+a#3@c2"
    found = write_shared(
        tmp_path / "run", full(pairs=False), p99_ms={1: 5.0, 2: 5.0}, fail=cell, rounds=3
    )
    (mode,) = found.modes
    assert found.fits(mode)[2].verdict == "fails"
    assert [(c.id, why) for c, why in found.failures] == [(cell, "no memory")]
    assert found.holds(mode) == 2


def test_what_is_missing_is_said_not_guessed(tmp_path: Path) -> None:
    found = write_shared(tmp_path / "run", full(), rounds=1)
    (mode,) = found.modes
    assert {f.verdict for f in found.fits(mode)} == {"undecided"}
    assert found.slowed(mode, "a", "b") is not None
    none = write_shared(tmp_path / "none", full(), rounds=0, status="interrupted")
    assert [f.verdict for f in none.fits(mode)] == ["not measured"] * 3
    assert none.slowed(mode, "a", "b") is None
    assert none.table[0][1].throughput_kept is None


def test_other_directories_are_told_apart(plain: Results, tmp_path: Path) -> None:
    assert is_sharing(plain.data.path)
    other = write_bare(tmp_path / "other")
    assert not is_sharing(other)
    assert not is_sharing(tmp_path / "nothing")
    with pytest.raises(RunDirectoryError, match="is no directory of `harness share`"):
        read_results(other)


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_verdict_is_seldom_wrong(replicas: int) -> None:
    """All replicas at the target: `holds` and `fails` are both errors, of 2.5 % at most."""
    rng = np.random.default_rng(replicas)
    wrong = {"holds": 0, "fails": 0, "undecided": 0, "not measured": 0}
    tries = 600
    for _ in range(tries):
        values = np.exp(rng.normal(0.0, 0.1, (replicas, 5))).tolist()
        each = [log_t_interval(v) for v in values]
        wrong[verdict_of(each, strict_intervals(values), 1.0)] += 1
    assert wrong["holds"] <= 0.025 * tries
    assert wrong["fails"] <= 0.045 * tries  # 2.5 %, and three standard errors
    clear = [log_t_interval([0.5, 0.51, 0.52])] * replicas
    assert verdict_of(clear, clear, 1.0) == "holds"
    assert verdict_of(clear, clear, 0.1) == "fails"
