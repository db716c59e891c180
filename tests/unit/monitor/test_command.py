"""`harness monitor`: what its arguments must be, and where there is nobody to ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.errors import ServerError, UsageError
from harness.monitor.command import command


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there_at_the_start_is_an_error_and_nothing_is_recorded(
    tmp_path: Path, scheme: str
) -> None:
    args = [f"{scheme}://127.0.0.1:1", "--once", "--record", str(tmp_path / "t")]
    with pytest.raises(ServerError, match="can't be reached"):
        CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["a:8000", "--interval", "2"], "--interval: 2 has no unit"),
        (["a:8000", "--duration", "0s"], "--duration: must be longer than 0"),
        (["ftp://a"], "no protocol of Triton"),
        (["a:8000", "--header", "x"], "NAME: VALUE"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_read(args: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False)
