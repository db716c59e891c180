"""Cutting windows out of telemetry."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.results.series import (
    RECORD,
    Quantity,
    SeriesKey,
    TelemetrySeries,
    each,
    read,
    read_parquet,
    write_parquet,
)

HOST, POWER = SeriesKey(Quantity.HOST_BYTES), SeriesKey(Quantity.POWER_W, "gpu1")


def series(*pairs: tuple[int, float]) -> TelemetrySeries:
    t, v = zip(*pairs, strict=True)
    return TelemetrySeries(np.array(t, np.int64), np.array(v, float))


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
    found = read(raw, ["host_bytes", "gpu1_power_w", "gpu0_power_w"])
    assert list(found) == [HOST, POWER]
    assert list(found[HOST].t_ns) == [1]
    assert read(tmp_path / "none", ["host_bytes"]) == {}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("host_bytes", HOST),
        ("gpu1_power_w", POWER),
        ("gpu12_device_bytes", SeriesKey(Quantity.DEVICE_BYTES, "gpu12")),
        ("server_foreign_s", SeriesKey(Quantity.SERVER_FOREIGN_S)),
    ],
)
def test_a_key_is_its_name_in_files(name: str, key: SeriesKey) -> None:
    assert SeriesKey.parse(name) == key
    assert str(key) == name


@pytest.mark.parametrize("name", ["", "gpu0", "gpu0_", "gpu_power_w", "gpu0_warmth", "tree_cpu"])
def test_what_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        SeriesKey.parse(name)


def test_each_is_of_one_quantity_and_every_device() -> None:
    other = SeriesKey(Quantity.POWER_W, "gpu0")
    readings = {POWER: series((1, 2.0)), HOST: series((1, 3.0)), other: series((1, 4.0))}
    assert [s.peak() for s in each(readings, Quantity.POWER_W)] == [2.0, 4.0]
    assert each(readings, Quantity.ENERGY_J) == []


def test_parquet_holds_every_reading(tmp_path: Path) -> None:
    written = {HOST: series((1, 2.0), (3, 4.0)), POWER: series((2, 5.0))}
    write_parquet(tmp_path / "t.parquet", written)
    table = pq.read_table(tmp_path / "t.parquet").to_pydict()
    names = ["host_bytes", "host_bytes", "gpu1_power_w"]
    assert table == {"t_ns": [1, 3, 2], "series": names, "value": [2.0, 4.0, 5.0]}
    write_parquet(tmp_path / "empty.parquet", {})
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0


def test_a_series_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = {"t_ns": [1, 2], "series": ["gpu0_dreams", "gpu1_power_w"], "value": [7.0, 5.0]}
    columns = pa.table(table)
    names = columns["series"].combine_chunks().dictionary_encode()
    pq.write_table(columns.set_column(1, "series", names), path)
    found = read_parquet(path)
    assert list(found) == [POWER]
    assert list(found[POWER].value) == [5.0]
