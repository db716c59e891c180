"""Telemetry series: their keys, the records on disk, and cutting a window out of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.results import tables

if TYPE_CHECKING:
    import pyarrow as pa

RECORD = np.dtype([("t_ns", "<i8"), ("series", "<u2"), ("value", "<f8")])
"""One reading: monotonic nanoseconds, index into the series names, value."""
_NAME = re.compile(r"(?:(gpu\d+)_)?(\w+)")


class Quantity(StrEnum):
    """What is read, with its unit; the counters grow from reading to reading."""

    HOST_BYTES = "host_bytes"
    """Resident memory of the watched process trees."""
    TREE_CPU_S = "tree_cpu_s"
    """Counter: processor time of those trees."""
    RUN_CPU_S = "run_cpu_s"
    """Counter: of the whole harness and of the watched trees."""
    MACHINE_CPU_S = "machine_cpu_s"
    """Counter: of all processes, on the processors that this run may use."""
    MACHINE_STEAL_S = "machine_steal_s"
    """Counter: what the hypervisor gave to others of those processors' time."""
    MACHINE_CPUS = "machine_cpus"
    """How many these are."""
    CPU_MHZ = "cpu_mhz"
    """Mean clock of the processors."""
    GROUP_CPU_S = "group_cpu_s"
    """Counter: of all processes in the control group whose CPU quota is the tightest."""
    GROUP_CPUS = "group_cpus"
    """That quota, in processors."""
    GROUP_PERIODS = "group_periods"
    """Counter: periods of that quota in which something ran."""
    GROUP_THROTTLED = "group_throttled"
    """Counter: of them, those in which it was used up."""
    SAMPLER_CPU_S = "sampler_cpu_s"
    """Counter: of the sampler itself."""
    SERVER_FOREIGN_S = "server_foreign_s"
    """Counter: what others used of the server's host, where that is another one, by its cores."""
    DEVICE_BYTES = "device_bytes"
    PROCESS_BYTES = "process_bytes"
    """Of the watched trees, where the driver tells."""
    FOREIGN_PROCESSES = "foreign_processes"
    """How many processes outside the run use the GPU."""
    UTILIZATION_PERCENT = "utilization_percent"
    POWER_W = "power_w"
    POWER_CAP_W = "power_cap_w"
    """What the driver lets the board take."""
    ENERGY_J = "energy_j"
    """Counter."""
    SM_CLOCK_MHZ = "sm_clock_mhz"
    MEMORY_CLOCK_MHZ = "memory_clock_mhz"
    TEMPERATURE_C = "temperature_c"
    CLOCK_EVENTS = "clock_events"
    """The bits that say why the clocks are not higher."""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a series holds; in files its name is e.g. `host_bytes` or `gpu0_power_w`."""

    quantity: Quantity
    device: str = ""
    """`gpu0`, …; empty for the host."""

    def __str__(self) -> str:
        return f"{self.device}_{self.quantity}" if self.device else self.quantity.value

    @classmethod
    def parse(cls, name: str) -> SeriesKey:
        """The key that a file's name means. Raises ValueError for one that is not known."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"'{name}' is no series")
        return cls(Quantity(match[2]), match[1] or "")


Reading: TypeAlias = tuple[SeriesKey, float]
"""One value, just read."""


@dataclass(frozen=True, slots=True)
class TelemetrySeries:
    """Readings of one quantity, in order of time; both arrays have the shape (readings,)."""

    t_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    def within(self, begin_ns: int, end_ns: int) -> TelemetrySeries:
        """The readings of a window; a quantity that holds between readings keeps its last one."""
        first, last = np.searchsorted(self.t_ns, [begin_ns, end_ns])
        first = max(0, int(first) - 1)  # the reading that was in force when the window began
        return TelemetrySeries(self.t_ns[first:last], self.value[first:last])

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


Readings: TypeAlias = Mapping[SeriesKey, TelemetrySeries]
"""What was read in one session or window."""


def each(readings: Readings, quantity: Quantity) -> list[TelemetrySeries]:
    """The series of one quantity, of every device that has it."""
    return [series for key, series in readings.items() if key.quantity is quantity]


def split(
    names: Iterable[str], index: NDArray[np.integer], t_ns: NDArray[np.int64],
    value: NDArray[np.float64],
) -> dict[SeriesKey, TelemetrySeries]:  # fmt: skip
    """Mixed readings by series, of which `index` counts the names.

    Names that this version does not know, of a newer one's files, are left out.
    """
    found = {}
    for number, name in enumerate(names):
        mask = index == number
        with contextlib.suppress(ValueError):
            if mask.any():
                found[SeriesKey.parse(name)] = TelemetrySeries(t_ns[mask], value[mask])
    return found


def records_of(raw: bytes) -> NDArray[np.void]:
    """The records of a raw telemetry file; one cut short at the end is dropped."""
    return np.frombuffer(raw[: len(raw) // RECORD.itemsize * RECORD.itemsize], RECORD)


def read(path: Path, names: Sequence[str]) -> dict[SeriesKey, TelemetrySeries]:
    """Every series of a raw telemetry file."""
    records = records_of(path.read_bytes() if path.exists() else b"")
    times, values = records["t_ns"].astype(np.int64), records["value"].astype(float)
    return split(names, records["series"], times, values)


def _schema() -> pa.Schema:
    import pyarrow as pa

    names = pa.dictionary(pa.int32(), pa.string())
    return pa.schema({"t_ns": pa.int64(), "series": names, "value": pa.float64()})


def write_parquet(path: Path, series: Readings) -> None:
    """All series as one table: t_ns int64, series dictionary-encoded, value float64."""
    import pyarrow as pa

    found, names = list(series.values()), [str(key) for key in series]
    times = np.concatenate([np.empty(0, np.int64), *(s.t_ns for s in found)])
    values = np.concatenate([np.empty(0, np.float64), *(s.value for s in found)])
    index = np.repeat(np.arange(len(found), dtype=np.int32), [s.t_ns.size for s in found])
    columns = {
        "t_ns": tables.column(times, pa.int64()),
        "series": tables.words(index, names),
        "value": tables.column(values, pa.float64()),
    }
    tables.write_table(path, pa.table(columns, _schema()))


def read_parquet(path: Path) -> dict[SeriesKey, TelemetrySeries]:
    """Read what `write_parquet` wrote: every series that has a reading.

    Raises RunDirectoryError where it is damaged.
    """
    table = tables.read_table(path, _schema())
    column = table["series"].combine_chunks()
    if not len(column):
        return {}
    times, read = tables.values(table["t_ns"]), tables.values(table["value"])
    index = np.from_dlpack(column.indices).astype(np.int32)
    return split(column.dictionary.to_pylist(), index, times, read)
