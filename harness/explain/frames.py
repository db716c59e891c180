"""A run's points and measurements as pandas DataFrames: the columns and numbers of the CSV files.

What is missing is NaN, or `<NA>` where numbers are whole; every column has the same type in every
run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from harness.report.model.context import Context
from harness.report.outputs import csv

if TYPE_CHECKING:
    import pandas as pd

TYPES = {
    **dict.fromkeys(
        ("point", "backend", "config", "sizes", "gpu_memory_scope", "samples", "flags",
         "holds_constraints", *csv.RUN), "string",
    ),
    **dict.fromkeys(
        ("batch_size", "concurrency", "rounds", "round", "requests", "errors", "server_count",
         "warmup_requests"), "Int64",
    ),
    "valid": "bool", "recommended": "bool",
    "started": "datetime64[ns, UTC]",
}  # fmt: skip
"""Column → its type; all others are float64."""


def summary_frame(context: Context) -> pd.DataFrame:
    """A row a point, as in summary.csv."""
    return _frame(csv.summary_records(context), csv.SUMMARY)


def measurements_frame(context: Context) -> pd.DataFrame:
    """A row a point and round, as in measurements.csv."""
    return _frame(csv.measurement_records(context), csv.MEASUREMENTS)


def _frame(records: Sequence[csv.Record], columns: Collection[str]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(records, columns=list(columns), dtype=object)
    return frame.astype({name: TYPES.get(name, "float64") for name in columns})
