"""`harness merge` and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.shards import manifest, write_shard

from harness.cli.main import main


def code_of(*args: object) -> int:
    with pytest.raises(SystemExit) as info:
        main(["merge", *map(str, args)])
    return int(info.value.code or 0)


def test_the_verdict_is_that_of_all_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in (0, 1):
        write_shard(tmp_path / f"s{k}", [2 * k, 2 * k + 1], manifest(k, 2, gpu=k))
    args = (tmp_path / "s0", tmp_path / "s1", "--no-report", "--json")
    assert code_of(*args, "-o", tmp_path / "out") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["directory"], said["exit_code"]) == (str(tmp_path / "out"), 0)
    assert code_of(*args, "-o", tmp_path / "out") == 2
    assert "already holds a run" in capsys.readouterr().err
    assert code_of(tmp_path / "s0", "-o", tmp_path / "half", "--no-report", "-q") == 130
    assert "verdict: interrupted" in capsys.readouterr().out
