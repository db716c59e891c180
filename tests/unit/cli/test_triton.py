"""`harness triton`: folders that hold no server and nothing to serve."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.triton import command
from harness.errors import ServerError, UsageError


def invoke(*args: object) -> None:
    CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )


def test_checking_a_folder_without_a_server_installs_nothing(tmp_path: Path) -> None:
    with pytest.raises(ServerError):
        invoke("install", "--check", "--directory", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_repository_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a model repository"):
        invoke("serve", "--repository", tmp_path / "none")
    with pytest.raises(UsageError, match="has no model x"):
        (tmp_path / "empty").mkdir()
        invoke("serve", "--repository", tmp_path / "empty", "--model", "x")
