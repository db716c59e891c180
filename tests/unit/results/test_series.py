"""Cutting windows out of telemetry."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.results.series import RECORD, Series, read, read_parquet, write_parquet


def series(*pairs: tuple[int, float]) -> Series:
    t, v = zip(*pairs, strict=True)
    return Series(np.array(t, np.int64), np.array(v, float))


def test_a_window_keeps_the_reading_in_force_when_it_begins() -> None:
    cut = series((0, 5.0), (10, 7.0), (20, 6.0), (30, 9.0)).within(15, 30)
    assert list(cut.value) == [7.0, 6.0]
    assert cut.peak() == 7.0
    assert cut.mean() == 6.5


def test_a_window_before_all_readings_is_empty() -> None:
    cut = series((100, 1.0)).within(0, 50)
    assert cut.peak() is None
    assert cut.mean() is None


def test_rate_of_a_counter_between_the_ends() -> None:
    counter = series((0, 0.0), (1_000_000_000, 2.0), (2_000_000_000, 4.0))
    assert counter.rate(500_000_000, 1_500_000_000) == pytest.approx(2.0)
    assert series((0, 1.0)).rate(0, 1) is None


def test_read_drops_a_record_cut_short(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    records = np.array([(1, 0, 2.0), (2, 1, 3.0), (3, 0, 4.0)], RECORD)
    raw.write_bytes(records.tobytes()[:-1])
    found = read(raw, ["a", "b", "c"])
    assert list(found) == ["a", "b"]
    assert list(found["a"].t_ns) == [1]
    assert read(tmp_path / "none", ["a"]) == {}


def test_parquet_holds_every_reading(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t.parquet", {"a": series((1, 2.0), (3, 4.0)), "b": series((2, 5.0))})
    table = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert table == {"t_ns": [1, 3, 2], "series": ["a", "a", "b"], "value": [2.0, 4.0, 5.0]}
    write_parquet(tmp_path / "empty.parquet", {})
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0


def test_parquet_gives_back_what_was_written(tmp_path: Path) -> None:
    written = {"a": series((1, 2.0), (3, 4.0)), "b": series((2, 5.0))}
    write_parquet(tmp_path / "a.parquet", written)
    found = read_parquet(tmp_path / "a.parquet")
    assert found.keys() == written.keys()
    for name, expected in written.items():
        assert np.array_equal(found[name].t_ns, expected.t_ns)
        assert np.array_equal(found[name].value, expected.value)
    write_parquet(tmp_path / "none.parquet", {})
    assert read_parquet(tmp_path / "none.parquet") == {}
