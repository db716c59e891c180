"""The best classes: by score, with probabilities that are the scores' own or their softmax."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import UsageError
from harness.infer.classes import best, is_scores, read_labels


def test_the_best_come_first_and_ties_by_number() -> None:
    (row,) = best(np.array([[1.0, 3.0, 2.0, 3.0]]), 3, ["a", "b", "c", "d"])
    assert [(c.index, c.label, c.score) for c in row] == [(1, "b", 3), (3, "d", 3), (2, "c", 2)]
    powers = np.exp([1.0, 3.0, 2.0, 3.0])
    assert [c.probability for c in row] == pytest.approx(powers[[1, 3, 2]] / powers.sum())


def test_probabilities_stay_as_they_are() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]], np.float16)
    rows = best(scores, 1)
    assert [row[0].probability for row in rows] == pytest.approx([0.7, 1.0], abs=1e-3)
    assert best(np.array([[700.0, 900.0]]), 2)[0][0].probability == pytest.approx(1)


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(UsageError, match="'y' has 3 classes, the file of labels 2"):
        best(np.zeros((1, 3)), 1, ["a", "b"], "y")


def test_labels_are_lines(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("tench, Tinca\nä \n", "utf-8")
    assert read_labels(tmp_path / "l") == ["tench, Tinca", "ä"]
    with pytest.raises(UsageError, match="can't be read"):
        read_labels(tmp_path / "none")


@pytest.mark.parametrize(
    ("array", "scores"),
    [(np.zeros((1, 2)), True), (np.zeros((1, 1)), False), (np.zeros((1, 2, 3)), False),
     (np.zeros(3), False), (np.array([["a", "b"]]), False)],
)  # fmt: skip
def test_what_can_be_scores(array: np.ndarray, scores: bool) -> None:
    assert is_scores(array) == scores
