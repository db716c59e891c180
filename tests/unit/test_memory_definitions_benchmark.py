"""benchmarks/memory_definitions.py on a recorded run with a known truth."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.rows import measurement

from harness.results.events import RunStarted
from harness.results.series import Quantity, SeriesKey, TelemetrySeries, write_parquet
from harness.results.store import RunStore

MIB, S = 2**20, 10**9


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("memory_definitions")


def write(path: Path, held: dict[str, tuple[float, float]]) -> None:
    """Points one after another, five seconds each: what their processes held, and a peak of the
    device above it for .3 s in the middle; the device reads 600 MiB more.
    """
    gpu = {"name": "Card", "memory_mib": 10_000}
    manifest = {"schema_version": 3, "scenario": {"scenario": "s"}, "machine": {"gpus": [gpu]}}
    t_ns = np.arange(0, 5 * S * (len(held) + 1), 5_000_000)
    value = np.full(len(t_ns), 600.0)
    with RunStore.create(path, manifest) as store:
        store.append(RunStarted("2026-01-02T03:04:05+00:00"))
        for place, (point, (mib, peak)) in enumerate(held.items(), 1):
            begin = 5 * S * place
            value[(t_ns >= begin) & (t_ns < begin + 5 * S)] = 600 + mib
            value[(t_ns >= begin + 2.3 * S) & (t_ns < begin + 2.6 * S)] = 600 + peak
            store.append(measurement(
                point=point, backend=point.partition("/")[0], gpu_memory_mib=max(mib, peak),
                gpu_memory_scope="process", window_begin_ns=begin, window_end_ns=begin + 5 * S - 1,
            ))  # fmt: skip
    (path / "telemetry").mkdir(exist_ok=True)
    key = SeriesKey(Quantity.DEVICE_BYTES, "gpu0")
    write_parquet(path / "telemetry" / "r0.parquet", {key: TelemetrySeries(t_ns, value * MIB)})


def test_the_device_counts_what_no_replica_holds_and_a_sample_misses_a_peak(
    bench: Any, tmp_path: Path
) -> None:
    write(tmp_path / "run", {"flat/b1/c1": (1000.0, 1000.0), "peaks/b1/c1": (1000.0, 3000.0)})
    found = bench.record([tmp_path / "run"])
    flat, peaks = found["points"]
    assert found["idle_mib"] == 600
    assert (flat["process_mib"], flat["high_mib"], flat["short_mib"]) == (1000, 1600, -600)
    assert (peaks["high_mib"], peaks["short_mib"]) == (3600, 1400)
    text = bench.page(found)
    assert "| flat | 1 | 1,000 | 1,600 | +60% | 9 → 5 | 0 |" in text
    assert "| peaks | 1 | 3,000 | 3,600 | +20% | 3 → 2 | 1 |" in text
    assert "Too much: the most is asked of `flat/b1/c1`" in text
    assert "Too little: 1 of 2 points, by up to 1,400 MiB." in text
