"""Telemetry series: the names, the records on disk, and cutting a window out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RECORD = np.dtype([("t_ns", "<i8"), ("series", "<u2"), ("value", "<f8")])
"""One reading: monotonic nanoseconds, index into the series names, value."""


@dataclass(frozen=True, slots=True)
class Series:
    """Readings of one quantity, in order of time; both arrays have the shape (readings,)."""

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    def within(self, begin_ns: int, end_ns: int) -> Series:
        """The readings of a window; a quantity that holds between readings keeps its last one."""
        first, last = np.searchsorted(self.t_ns, [begin_ns, end_ns])
        first = max(0, int(first) - 1)  # the reading that was in force when the window began
        return Series(self.t_ns[first:last], self.value[first:last])

    def peak(self) -> float | None:
        """The largest reading; None without readings."""
        return float(self.value.max()) if self.value.size else None

    def mean(self) -> float | None:
        """The mean reading; None without readings."""
        return float(self.value.mean()) if self.value.size else None

    def rate(self, begin_ns: int, end_ns: int) -> float | None:
        """Growth of a counter, per second, between its readings nearest to the window's ends."""
        if self.t_ns.size < 2:
            return None
        value = np.interp([begin_ns, end_ns], self.t_ns, self.value)
        return float(value[1] - value[0]) / ((end_ns - begin_ns) / 1e9)


def read(path: Path, names: Sequence[str]) -> dict[str, Series]:
    """Every series of a raw telemetry file, by name; a record cut short at the end is dropped."""
    raw = path.read_bytes() if path.exists() else b""
    records = np.frombuffer(raw[: len(raw) // RECORD.itemsize * RECORD.itemsize], RECORD)
    return {
        name: Series(records["t_ns"][mask].astype(np.int64), records["value"][mask].astype(float))
        for index, name in enumerate(names)
        if (mask := records["series"] == index).any()
    }


def write_parquet(path: Path, series: Mapping[str, Series]) -> None:
    """All series as one table: t_ns int64, series dictionary-encoded, value float64."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from harness.system.files import atomic_write

    names = [n for n, s in series.items() for _ in range(s.t_ns.size)]
    times = [s.t_ns for s in series.values()] or [np.empty(0, np.int64)]
    values = [s.value for s in series.values()] or [np.empty(0, np.float64)]
    table = pa.table({
        "t_ns": pa.array(np.concatenate(times), pa.int64()),
        "series": pa.array(names, pa.string()).dictionary_encode(),
        "value": pa.array(np.concatenate(values), pa.float64()),
    })  # fmt: skip
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: Path) -> dict[str, Series]:
    """Read what `write_parquet` wrote: every series that has a reading, by name."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    times, values = table["t_ns"].to_numpy(), table["value"].to_numpy()
    column = table["series"].combine_chunks()
    if not len(column):
        return {}
    index = column.indices.to_numpy()
    return {
        name: Series(times[mask], values[mask])
        for number, name in enumerate(column.dictionary.to_pylist())
        if (mask := index == number).any()
    }
