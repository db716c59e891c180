"""What a session measures, with real workers: what it opens with, and whose memory it shows."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.results.events import Discarded
from harness.results.rows import LoadedRow
from harness.results.store import RunData, read_run

SCENARIO = """
scenario: memory
model: {name: m, source: {fake: {}}}
backends: [{kind: fake, name: a, service_time_ms: 2, cache_mib: 16}]
load: {batch_sizes: 1, concurrency: [8, 1]}
measurement: {rounds: 2, warmup: 50ms, warmup_requests: 2, window: 300ms, window_requests: 11,
              window_max: 5s}
"""


def measured(folder: Path, more: str) -> RunData:
    path = folder / "s.yaml"
    path.write_text(SCENARIO + more)
    harness.run(path, output=folder / "run")
    return read_run(folder / "run")


@pytest.mark.parametrize(
    ("more", "sessions"), [("", 1), ("constraints: {host_memory_mib: {max: 10000}}\n", 2)]
)
def test_memory_of_a_point_is_its_own_whatever_the_order_in_the_scenario(
    tmp_path: Path, more: str, sessions: int
) -> None:
    """An allocator that keeps 16 MiB for each item in flight: seven more callers are 112 MiB."""
    data = measured(tmp_path, more)
    by_point: dict[str, list[float]] = {}
    for row in data.measurements:
        assert row.host_memory_mib is not None
        by_point.setdefault(row.point, []).append(row.host_memory_mib)
    alone, many = by_point["a/b1/c1"], by_point["a/b1/c8"]
    assert max(alone) - min(alone) < 16
    assert min(many) - max(alone) > 90
    assert len(data.rows(LoadedRow)) == 2 * sessions
    first = [line.point for line in data.rows(Discarded)]
    assert first == ["a/b1/c1", "a/b1/c8"][:sessions] * 2


def test_what_is_discarded_is_in_the_journal_before_the_sessions_points(tmp_path: Path) -> None:
    data = measured(tmp_path, "")
    kinds = [type(e).__name__ for e in data.events if isinstance(e, Discarded)
             or e in data.measurements]  # fmt: skip
    assert kinds == ["Discarded", "MeasurementRow", "MeasurementRow"] * 2
    assert {p.name for p in (tmp_path / "run/samples").iterdir()} == {
        Path(row.samples).name for row in data.measurements
    }
