"""A damaged Parquet file is named, whatever is wrong, and never read as if it were whole."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.errors import RunDirectoryError
from harness.results.tables import column, read_table, values, words, write_table

SCHEMA = pa.schema({"t_ns": pa.int64(), "value": pa.float64()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    columns = {"t_ns": rng.integers(0, 2**62, 3000), "value": rng.normal(size=3000)}
    write_table(tmp_path / "t.parquet", pa.table(columns, SCHEMA))
    return tmp_path / "t.parquet"


def test_a_flipped_bit_is_never_taken_for_a_reading(path: Path) -> None:
    raw, whole = path.read_bytes(), read_table(path, SCHEMA)
    rng = random.Random(2)
    refused = 0
    for _ in range(300):
        changed = bytearray(raw)
        changed[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            assert read_table(path, SCHEMA).equals(whole)  # it was of no consequence
        except RunDirectoryError as error:
            assert str(path) in error.message
            refused += 1
    assert refused > 250


def test_a_file_cut_short_is_named(path: Path) -> None:
    raw = path.read_bytes()
    for size in (0, 3, 4, 100, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(RunDirectoryError, match=r"t\.parquet is damaged"):
            read_table(path, SCHEMA)


@pytest.mark.parametrize(
    "columns",
    [{"t_ns": [1]}, {"t_ns": [1, None], "value": [1.0, 2.0]}, {"t_ns": ["x"], "value": [1.0]}],
    ids=["column missing", "null", "other type"],
)
def test_another_table_is_refused(path: Path, columns: dict[str, list[object]]) -> None:
    pq.write_table(pa.table(columns), path)
    with pytest.raises(RunDirectoryError, match=r"t\.parquet is damaged"):
        read_table(path, SCHEMA)


def test_a_file_without_checksums_is_read(path: Path) -> None:
    whole = read_table(path, SCHEMA)
    pq.write_table(whole, path)
    assert read_table(path, SCHEMA).equals(whole)


def test_a_name_with_a_colon_is_no_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("out:put", "s3:t.parquet")
    write_table(path, pa.table({"t_ns": [1], "value": [0.5]}, SCHEMA))
    assert read_table(path, SCHEMA).num_rows == 1


@pytest.mark.parametrize("type_", [pa.int64(), pa.float64(), pa.uint8(), pa.uint16()])
@pytest.mark.parametrize("array", [np.arange(7), np.arange(14)[::2], np.empty(0, int)])
def test_a_column_is_what_pyarrow_makes(array: np.ndarray, type_: pa.DataType) -> None:
    made = pa.array(array.astype(type_.to_pandas_dtype()), type_)
    assert column(array, type_).equals(made)
    back = values(pa.chunked_array([made, made[2:]], type_))
    assert back.dtype == type_.to_pandas_dtype()
    assert back.tolist() == [*array, *array[2:]]


def test_words_are_what_pyarrow_makes() -> None:
    index, texts = np.array([2, 0, 0, 1], np.int32), ["a", "", "µ·é"]
    found = words(index, texts)
    found.validate(full=True)
    assert found.to_pylist() == [texts[i] for i in index]
    assert words(np.empty(0, np.int32), []).to_pylist() == []
