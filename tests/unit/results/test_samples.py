"""Raw samples on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from harness.results.samples import ERROR, OK, UNFINISHED, Samples, read_samples, write_samples

COLUMNS = ("scheduled", "sent", "done", "status", "caller")


def samples() -> Samples:
    base = 2**62  # int64 nanoseconds, beyond what a float64 holds exactly
    return Samples(
        np.array([base, base + 1, base + 3]), np.array([base + 5, base + 7, base + 9]),
        np.array([base + 11, base + 13, base + 17]),
        np.array([OK, ERROR, UNFINISHED], np.uint8), np.array([0, 65535, 2], np.uint16),
        {"refused": 1},
    )  # fmt: skip


def same(a: Samples, b: Samples) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in COLUMNS]
    return all(x.dtype == y.dtype and (x == y).all() for x, y in pairs)


def test_what_the_worker_writes_the_parent_reads(tmp_path: Path) -> None:
    samples().save(tmp_path / "s.npz")
    assert same(Samples.load(tmp_path / "s.npz"), samples())
    assert Samples.load(tmp_path / "s.npz").messages == {}
    assert Samples.load(tmp_path / "s.npz", {"refused": 1}).messages == {"refused": 1}


def test_parquet_keeps_every_nanosecond_and_says_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "s.parquet"
    write_samples(path, samples(), {"point": "a/b1/c1"})
    assert same(read_samples(path), samples())
    assert pq.read_schema(path).metadata == {b"point": b"a/b1/c1"}
    assert pq.read_schema(path).names == list(COLUMNS)


def test_the_wire_client_s_moments_are_kept_where_there_are_some(tmp_path: Path) -> None:
    plain = samples()
    stamped = replace(plain, written=plain.sent + 1, woke=plain.done - 1)
    stamped.save(tmp_path / "s.npz")
    write_samples(tmp_path / "s.parquet", stamped, {})
    for found in (Samples.load(tmp_path / "s.npz"), read_samples(tmp_path / "s.parquet")):
        assert same(found, stamped)
        assert found.written is not None and found.woke is not None
        assert (found.written == plain.sent + 1).all() and (found.woke == plain.done - 1).all()
    assert pq.read_schema(tmp_path / "s.parquet").names == [*COLUMNS, "written", "woke"]
    write_samples(tmp_path / "old.parquet", plain, {})
    assert read_samples(tmp_path / "old.parquet").written is None


def test_a_window_without_requests_is_still_a_file(tmp_path: Path) -> None:
    none = np.empty(0, np.int64)
    empty = Samples(none, none, none, np.empty(0, np.uint8), np.empty(0, np.uint16))
    write_samples(tmp_path / "s.parquet", empty, {})
    assert len(read_samples(tmp_path / "s.parquet")) == len(empty) == 0
