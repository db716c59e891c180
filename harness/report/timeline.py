"""Memory against time: each session's telemetry, downsampled, with the stages and windows marked.

A session is one backend and config in one round. Its readings come from the file that its
`loaded` line names; a session that never loaded has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.run.rows import LoadedRow, MeasurementRow
from harness.run.store import RunData
from harness.telemetry.series import Series, read_parquet

MIB = 2**20
STEPS = 400
"""Values of a downsampled series: more than a chart has pixels to tell them apart."""
HOST, GPU, DEVICE = "host memory", "GPU memory", "GPU memory, whole device"
STAGE_LABELS = {
    "baseline": "start", "context": "server", "weights": "load", "warm": "first call",
}  # fmt: skip
"""Stage (`telemetry.stages`) → what its mark says; without a server, `context` is the CUDA one."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """One session; every series is as long as `t_s`."""

    name: str
    """The backend, or `backend/config` where there are several configs."""
    round: int
    t_s: tuple[float, ...]
    """Seconds since the first reading; each value stands for the time up to the next."""
    series: Mapping[str, tuple[float | None, ...]]
    """MiB: the largest reading of each step; None before the first."""
    marks: tuple[tuple[float, float, str], ...]
    """(begin, end, label) in seconds: the stages, then each point's window."""


def timelines(data: RunData, steps: int = STEPS) -> list[Timeline]:
    """Every session of a run that has readings, in the order of the journal."""
    found = (_timeline(data, row, steps) for row in data.loads)
    return [timeline for timeline in found if timeline is not None]


def _timeline(data: RunData, row: LoadedRow, steps: int) -> Timeline | None:
    file = row.details.get("telemetry")
    path = data.path / str(file)
    if not file or not path.is_file():
        return None
    series = read_parquet(path)
    memory = dict(_memory(series))
    if not memory:
        return None
    begin = min(int(s.t_ns[0]) for s in series.values())  # before there is a process, too
    end = max(int(s.t_ns[-1]) for s in series.values())
    edges = np.linspace(begin, end + 1, steps + 1)
    marks = [*_stages(row, begin), *_windows(data.measurements, row, begin, end)]
    config = getattr(row, "config", "default")
    return Timeline(
        row.backend if config == "default" else f"{row.backend}/{config}",
        row.round,
        tuple(((edges[:-1] - begin) / 1e9).round(4).tolist()),
        {name: downsample(s, edges) for name, s in memory.items()},
        tuple(((a - begin) / 1e9, (b - begin) / 1e9, label) for a, b, label in marks),
    )


def _memory(series: Mapping[str, Series]) -> Iterator[tuple[str, Series]]:
    """The memory series by the names that a chart gives them; several GPUs keep their numbers."""
    devices = [n for n in series if n.startswith("gpu") and n.endswith("_device_bytes")]
    if "host_bytes" in series:
        yield HOST, series["host_bytes"]
    for device in devices:
        gpu = device.partition("_")[0]
        suffix = f" ({gpu})" if len(devices) > 1 else ""
        process = series.get(f"{gpu}_process_bytes")
        if process is not None and process.value.any():
            yield GPU + suffix, process
        yield DEVICE + suffix, series[device]


def downsample(series: Series, edges: NDArray[np.float64]) -> tuple[float | None, ...]:
    """The largest value in force in each step, in MiB; `edges` (ns) are one more than the steps.

    A peak that lasts for a single reading stays visible, whatever the number of steps.
    """
    first = np.searchsorted(series.t_ns, edges, "left")
    values: list[float | None] = []
    for begin, end in pairwise(first):
        part = series.value[max(0, begin - 1) : max(end, begin)]  # with what was in force before
        values.append(round(float(part.max()) / MIB, 3) if part.size else None)
    return tuple(values)


def _stages(row: LoadedRow, begin: int) -> Iterator[tuple[int, int, str]]:
    """The stages' times; each begins where the one before it ends."""
    ends = row.details.get("stages_ns") or {}
    served = "server" in row.details
    for stage, end in sorted(ends.items(), key=lambda item: int(item[1])):
        if int(end) <= begin:
            continue
        label = "CUDA context" if stage == "context" and not served else STAGE_LABELS.get(stage)
        yield begin, int(end), label or stage
        begin = int(end)


def _windows(
    rows: Sequence[MeasurementRow], loaded: LoadedRow, begin: int, end: int
) -> Iterator[tuple[int, int, str]]:
    """The windows that this session measured: a broken session's points are measured by another."""
    config = getattr(loaded, "config", "default")
    for row in rows:
        mine = (row.backend, row.config, row.round) == (loaded.backend, config, loaded.round)
        if mine and begin <= row.window_begin_ns and row.window_end_ns <= end + 1_000_000_000:
            yield row.window_begin_ns, row.window_end_ns, _place(row)


def _place(row: MeasurementRow) -> str:
    """`b4/c2`: the point's id without its backend and config."""
    return "/".join(row.point.split("/")[-2:])
