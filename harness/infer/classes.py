"""The best classes of a classifier's outputs, with their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.models.tensors import Array
from harness.system.files import read_bytes

NEAR_ONE = 1e-3
"""How far the sum of probabilities may lie from one, for half precision."""


@dataclass(frozen=True, slots=True)
class Class:
    """One class of one item."""

    index: int
    score: float
    """As the model gives it."""
    probability: float
    """The score itself where the scores are probabilities, else its softmax."""
    label: str = ""


def read_labels(path: Path) -> list[str]:
    """A label a line; the last line's end may be missing. Raises UsageError."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}") from None
    return [line.strip() for line in text.splitlines()]


def is_scores(array: Array) -> bool:
    """Whether an output can be the scores of classes: [batch, classes], of numbers."""
    return array.ndim == 2 and array.shape[1] >= 2 and array.dtype.kind in "fiu"


def best(array: Array, count: int, labels: Sequence[str] = (), name: str = "") -> list[list[Class]]:
    """For each item its `count` best classes, the best first; ties by number.

    Raises UsageError where there are labels for another number of classes.
    """
    classes = array.shape[1]
    if labels and len(labels) != classes:
        raise UsageError(
            f"the output '{name}' has {classes} classes, the file of labels {len(labels)}",
            fix="one label a line, in the order of the classes",
        )
    scores = np.asarray(array, np.float64)
    shares = scores if _probabilities(scores) else _softmax(scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return [
        [Class(int(i), float(scores[row, i]), float(shares[row, i]),
               labels[i] if labels else "") for i in found]
        for row, found in enumerate(order)
    ]  # fmt: skip


def _probabilities(scores: NDArray[np.float64]) -> bool:
    sums = np.abs(scores.sum(axis=1) - 1)
    return bool(np.all(scores >= 0) and np.all(sums < NEAR_ONE))


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):  # scores that are infinite or no numbers have no share
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
