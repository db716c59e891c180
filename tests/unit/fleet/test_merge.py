"""Shards as one run: every round once, with its block, and what is missing said."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.shards import POINTS, manifest, write_shard

from harness.errors import RunDirectoryError
from harness.fleet.merge import merge
from harness.fleet.sources import read_sources
from harness.fleet.write import write
from harness.report.model.context import build_context
from harness.report.sections.environment import machine_table
from harness.results.events import JournalLine, Note, RunEnded
from harness.results.rows import FailureRow, MeasurementRow, ParityRow
from harness.results.store import read_run


def rows(lines: list[JournalLine] | object) -> list[MeasurementRow]:
    return [line for line in lines if isinstance(line, MeasurementRow)]  # type: ignore[attr-defined]


def texts(lines: object) -> list[str]:
    return [line.text for line in lines if isinstance(line, Note)]  # type: ignore[attr-defined]


def status(lines: object) -> str:
    return next(line.status for line in lines if isinstance(line, RunEnded))  # type: ignore[attr-defined]


def test_two_shards_are_one_run_with_two_blocks(tmp_path: Path) -> None:
    for k in (0, 1):
        write_shard(tmp_path / f"s{k}", [2 * k, 2 * k + 1], manifest(k, 2, gpu=k))
    found = merge(read_sources([tmp_path / "s1", tmp_path / "s0"]))
    assert status(found.lines) == "complete"
    assert [r.round for r in rows(found.lines)] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    blocks = {r.round: r.details["block"] for r in rows(found.lines)}
    assert list(blocks.values()) == ["GPU 0 of bench-1"] * 2 + ["GPU 1 of bench-1"] * 2
    assert rows(found.lines)[0].samples == "samples/0-a--b1--c1--r0.parquet"
    assert len({r.samples for r in rows(found.lines)}) == 12
    machine = found.manifest["machine"]
    assert [g["uuid"] for g in machine["gpus"]] == ["GPU-bench-1-0", "GPU-bench-1-1"]  # type: ignore[index]
    assert "shard" not in found.manifest
    assert [s["rounds"] for s in found.manifest["shards"]] == [[0, 1], [2, 3]]  # type: ignore[index,attr-defined]
    assert str(tmp_path) not in str(found.manifest) + str(found.lines)


def test_the_command_is_the_merge_and_each_shard_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = [["harness", "run", "s.yaml", "--shard", f"{k}/2", "-o", f"my {k}"] for k in range(2)]
    paths = [
        write_shard(tmp_path / str(k), [k], manifest(k, 2, host=f"h{k}", command=typed[k]))
        for k in range(2)
    ]
    monkeypatch.setattr("sys.argv", ["/bin/harness", "merge", "0", "1", "-o", "all"])
    write(merge(read_sources(paths)), tmp_path / "all")
    found = read_run(tmp_path / "all")
    assert found.manifest["command"] == ["harness", "merge", "0", "1", "-o", "all"]
    assert [s["command"] for s in found.manifest["shards"]] == typed
    facts = {row[0].text: row[1].text for row in machine_table(build_context(found)).rows}
    assert facts["Command"] == "harness merge 0 1 -o all"
    assert facts["Shard 1/2"] == "h1, round 2: harness run s.yaml --shard 1/2 -o 'my 1'"


def test_of_a_shard_that_was_begun_again_each_round_counts_once(tmp_path: Path) -> None:
    write_shard(tmp_path / "s0", [0, 1], manifest(0, 2, gpu=0))
    write_shard(tmp_path / "s1", [2], manifest(1, 2, gpu=1), points=POINTS[:1], complete=False)
    again = {**manifest(1, 2, gpu=2), "created": "2026-03-09T10:00:00+00:00"}
    write_shard(tmp_path / "s1-again", [2, 3], again)
    found = merge(read_sources(sorted(tmp_path.glob("s*"))))
    places = [(r.round, r.point) for r in rows(found.lines)]
    assert sorted(places) == sorted((n, p) for n in range(4) for p in POINTS)
    assert {r.details["block"] for r in rows(found.lines) if r.round > 1} == {"GPU 2 of bench-1"}
    assert status(found.lines) == "complete"
    assert any("round 3 was measured by shard 1/2 (GPU 1 of" in t for t in texts(found.lines))


def test_what_is_missing_is_said_and_the_run_is_not_complete(tmp_path: Path) -> None:
    write_shard(tmp_path / "s0", [0], manifest(0, 4, gpu=0))
    write_shard(tmp_path / "s2", [2], manifest(2, 4, gpu=1), complete=False)
    found = merge(read_sources([tmp_path / "s0", tmp_path / "s2"]))
    assert status(found.lines) == "interrupted"
    assert "of 4 shards these are missing: 1,3" in texts(found.lines)
    assert "shard 2/4 (GPU 1 of bench-1) did not end" in texts(found.lines)


def test_of_runs_that_were_shared_out_otherwise_all_that_is_missing_is_said(tmp_path: Path) -> None:
    for count in (1, 2, 3):
        write_shard(tmp_path / f"s{count}", [0], manifest(0, count, gpu=0))
    found = merge(read_sources([tmp_path / f"s{n}" for n in (1, 2, 3)]), allow_mixed=True)
    assert status(found.lines) == "interrupted"
    for words in ("of 2 shards these are missing: 1", "of 3 shards these are missing: 1-2"):
        assert words in texts(found.lines)


def test_whole_runs_become_more_rounds(tmp_path: Path) -> None:
    write_shard(tmp_path / "a", [0, 1], manifest(gpu=0))
    write_shard(tmp_path / "b", [0, 1, 4], manifest(gpu=0, host="bench-2"))
    found = merge(read_sources([tmp_path / "a", tmp_path / "b"]))
    assert sorted({r.round for r in rows(found.lines)}) == [0, 1, 2, 3, 4]
    assert found.manifest["machine"]["hostname"] == "bench-1, bench-2"  # type: ignore[index]


def test_what_is_not_alike_is_merged_only_when_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "a", [0, 1], manifest(0, 2, gpu=0))
    write_shard(tmp_path / "b", [2, 3], manifest(1, 2, gpu=0, host="b", kind="NVIDIA A100"))
    sources = read_sources([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(RunDirectoryError, match="not alike: shard 1/2") as info:
        merge(sources)
    assert "--allow-mixed" in str(info.value.fix)
    found = merge(sources, allow_mixed=True)
    assert any(t.startswith("merged all the same: shard 1/2") for t in texts(found.lines))
    assert len({r.details["block"] for r in rows(found.lines)}) == 2
    with pytest.raises(RunDirectoryError, match="nothing to merge"):
        merge([])


def test_what_each_says_of_the_run_is_there_once(tmp_path: Path) -> None:
    agrees = ParityRow("a", 1, "agrees", "eager")
    differs = ParityRow("a", 1, "disagrees", "eager")
    failed = FailureRow("a/b4/c1", 1, "a", "died", "it died", log="logs/r1-a.log")
    write_shard(tmp_path / "a", [0], manifest(0, 2, gpu=0), points=POINTS[:2],
                lines=[agrees, Note("both"), Note("mine"), failed])  # fmt: skip
    write_shard(tmp_path / "b", [2], manifest(1, 2, gpu=1), lines=[differs, Note("both")])
    found = merge(read_sources([tmp_path / "a", tmp_path / "b"]))
    assert [line for line in found.lines if isinstance(line, ParityRow)] == [differs]
    assert texts(found.lines)[:2] == ["both", "GPU 0 of bench-1: mine"]
    (failure,) = [line for line in found.lines if isinstance(line, FailureRow)]
    assert (failure.round, failure.log) == (1, "logs/0-r1-a.log")
