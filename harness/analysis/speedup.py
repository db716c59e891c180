"""Backends against a reference backend, cell by cell: same batch size, same load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.best import usable
from harness.analysis.differences import Differences
from harness.analysis.intervals import Interval
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow

Cell = tuple[tuple[int, int, str], int, float, str]
"""What a request holds (its batch size, and the other sizes that vary, shorter text first), kind of
load (0 closed loop, 1 open loop), its value, and its name (`c4`, `ramp`)."""


def cell(row: SummaryRow) -> Cell:
    """What a point has in common with the points that it may be compared with; sorts by load."""
    open_loop = int(row.concurrency is None)
    request = row.batch_size, len(row.sizes), row.sizes
    return request, open_loop, row.load_value, row.point.rpartition("/")[2]


def cells(rows: Sequence[SummaryRow]) -> list[Cell]:
    """Every cell of the sweep once, by batch size, then load."""
    return sorted({cell(r) for r in rows})


def reference_backend(
    backends: Sequence[Mapping[str, object]], measured: Sequence[str]
) -> tuple[str | None, bool]:
    """Name of the backend that others are compared with, and whether it is eager PyTorch fp32.

    `backends` are the resolved scenario's. The first torch backend in fp32 that was measured, else
    the first backend that was; (None, False) when nothing was.
    """
    for backend in backends:
        eager = backend.get("kind") == "torch" and backend.get("precision", "fp32") == "fp32"
        if eager and backend.get("name") in measured:
            return str(backend["name"]), True
    return (measured[0], False) if measured else (None, False)


def speedups(
    rows: Sequence[SummaryRow], reference: str, run: Differences | None = None
) -> dict[str, Interval | None]:
    """Point → throughput over that of the reference's default config in the same cell.

    None where one of the two is missing, invalid or failed. Points of `reference` itself are left
    out, except its configs other than the first. `run` knows all points of the run; without it
    `rows` are all.
    """
    run = run or Differences(rows)
    base: dict[Cell, SummaryRow] = {}
    for row in rows:
        if row.backend == reference:
            base.setdefault(cell(row), row)
    found: dict[str, Interval | None] = {}
    for row in rows:
        other = base.get(cell(row))
        if other is row:
            continue
        both = other is not None and usable(row) and usable(other)
        found[row.point] = run.advantage(row, other, THROUGHPUT) if both and other else None
    return found
