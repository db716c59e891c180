"""`harness infer`: what its arguments must be, before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.errors import UsageError
from harness.infer.command import command


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a:1", "--mean", "0.5"], "--mean and --std go together"),
        (["a:1", "--mean", "x", "--std", "1"], "--mean expects numbers"),
        (["a:1", "--labels", "/nowhere"], "can't be read"),
        (["a:1", "--backend", "b"], "--backend is of a scenario"),
        (["s.yaml", "--model", "b"], "--model is of a server"),
        (["nowhere.yaml"], "there is no file"),
        (["nowhere.yaml", "--input", "x"], "not NAME=FILE"),
    ],
)
def test_bad_arguments(args: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False)


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "o.npz").write_text("mine")
    args = ["http://127.0.0.1:1", "-o", str(tmp_path / "o.npz")]
    with pytest.raises(UsageError, match="is there already"):
        CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False)
    assert (tmp_path / "o.npz").read_text() == "mine"
