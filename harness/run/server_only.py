"""A server before it loads a model: what an empty one costs, beside what a model adds."""

from __future__ import annotations

from collections.abc import Mapping

from harness.run.record import gpu_readings, host_readings
from harness.run.rows import ServerOnlyRow
from harness.telemetry.series import Series

EMPTY_S = 1.0
"""How long an empty server is watched: 20 readings of the host, 200 of GPU memory."""


def server_only_row(
    backend: str, round_: int, telemetry: Mapping[str, Series], span_ns: tuple[int, int]
) -> ServerOnlyRow:
    """The readings of `span_ns` (monotonic ns) as a row."""
    begin, end = span_ns
    host = host_readings(telemetry, begin, end, cores=1)
    return ServerOnlyRow(
        backend, round_, (end - begin) / 1e9, host["host_memory_mib"], host["cpu_percent"],
        **{k: v for k, v in gpu_readings(telemetry, begin, end).items() if k != "gpu_energy_j"},
    )  # fmt: skip
