"""Runs that are kept, and what changed between them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from support.compared import MACHINE, write_blocks

from harness.compare.history import SCHEMA_VERSION, add, default_database, series_of
from harness.errors import SetupError, UsageError
from harness.results.store import read_run


def filled(folder: Path, count: int = 16, slower_from: int = 8) -> Path:
    """A history of runs of which the later are 10 % slower, with another numpy."""
    database = folder / "h.sqlite"
    for n in range(count):
        late = n >= slower_from
        run = write_blocks(
            folder / f"run{n}", {"a": 0.1 if late else 0.0}, rounds=2, seed=n,
            manifest={"created": f"2026-11-{n + 1:02d}T00:00:00+00:00",
                      "packages": {"numpy": "2.1" if late else "2.0"}},
        )  # fmt: skip
        assert add(database, read_run(run)) == 1
    return database


def test_a_change_is_found_with_the_versions_at_it(tmp_path: Path) -> None:
    database = filled(tmp_path)
    every = {s.metric: s for s in series_of(database)}
    assert set(every) == {"throughput", "p50", "p99"}
    for metric, series in every.items():
        (change,) = series.changes
        assert change.at.created.startswith("2026-11-09"), metric
        assert change.worse
        assert change.versions == {"numpy": ("2.0", "2.1")}
    assert every["p50"].changes[0].share == pytest.approx(0.1, abs=0.01)
    assert every["throughput"].changes[0].share == pytest.approx(-0.09, abs=0.01)
    assert len(every["p50"].runs) == 16
    assert every["p50"].steps == (8,)


def test_a_run_is_added_once(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0}, rounds=2))
    assert add(tmp_path / "h.sqlite", data) == 2
    assert add(tmp_path / "h.sqlite", data) == 0
    assert len(series_of(tmp_path / "h.sqlite")[0].runs) == 1


def test_other_machines_and_conditions_are_other_series(tmp_path: Path) -> None:
    other = {"machine": {**MACHINE, "cpu": {"model": "Other"}}}
    for name, manifest, conditions in (
        ("one", {}, {}), ("two", other, {}), ("three", {}, {"load": {"concurrency": [2]}})
    ):  # fmt: skip
        run = write_blocks(
            tmp_path / name, {"a": 0.0}, rounds=2, manifest=manifest, conditions=conditions
        )
        add(tmp_path / "h.sqlite", read_run(run))
    assert [len(s.runs) for s in series_of(tmp_path / "h.sqlite") if s.metric == "p50"] == [1, 1, 1]


def test_what_failed_has_no_value(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0}, failed={"a": "raised"}))
    assert add(tmp_path / "h.sqlite", data) == 1
    assert series_of(tmp_path / "h.sqlite") == []


def test_a_file_that_is_no_history(tmp_path: Path) -> None:
    (tmp_path / "h.sqlite").write_text("not a database, but long enough to be read as one" * 20)
    with pytest.raises(UsageError, match="is no history that can be used"):
        series_of(tmp_path / "h.sqlite")
    with pytest.raises(SetupError, match="can't be opened"):
        series_of(Path("/proc/nothing/h.sqlite"))


@pytest.mark.parametrize(("change", "words"), [
    ("UPDATE samples SET value = -1", "value: Input should be greater than 0"),
    ("UPDATE samples SET value = 9e999", "value: Input should be a finite number"),
    ("UPDATE samples SET metric = 'x' || metric", "metric: String should match"),
    ("UPDATE runs SET versions = '{'", "versions: Invalid JSON"),
    ("UPDATE runs SET versions = '[]'", "versions: Input should be a valid dict"),
    ("UPDATE runs SET backend = x'ff'", "backend: Input should be a valid string"),
    ("DROP TABLE samples; CREATE VIEW samples AS WITH RECURSIVE n(run) AS (SELECT 1 UNION ALL "
     "SELECT run FROM n) SELECT run, 'p' AS point, 'p50' AS metric, 1.0 AS value FROM n",
     "it has a view"),
])  # fmt: skip
def test_one_that_somebody_else_has_written(tmp_path: Path, change: str, words: str) -> None:
    database = filled(tmp_path, 1)
    with sqlite3.connect(database) as connection:
        connection.executescript(change)
    with pytest.raises(UsageError, match=f"is no history that can be used: .*{words}"):
        series_of(database)


def test_a_pipe_is_no_history(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "h.sqlite")
    with pytest.raises(UsageError, match="is a named pipe"):
        series_of(tmp_path / "h.sqlite")


def test_texts_from_a_history_are_shown_harmless(tmp_path: Path) -> None:
    database = filled(tmp_path, 1)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE runs SET backend = 'a' || char(27) || '[31m'")
    assert {s.backend for s in series_of(database)} == {r"a\x1b[31m"}


def test_one_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "h.sqlite") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(UsageError, match="of a newer version"):
        series_of(tmp_path / "h.sqlite")


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_database() == Path("/data/inference-harness/history.sqlite")
