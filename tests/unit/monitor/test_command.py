"""`harness monitor` where there is nothing to read; a real server is in tests/integration."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.errors import ServerError
from harness.monitor.command import command


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_there_at_the_start_is_an_error_and_nothing_is_recorded(
    tmp_path: Path, scheme: str
) -> None:
    args = [f"{scheme}://127.0.0.1:1", "--once", "--record", str(tmp_path / "t")]
    with pytest.raises(ServerError, match="can't be reached"):
        CliRunner().invoke(command, args, standalone_mode=False, catch_exceptions=False)
    assert not (tmp_path / "t").exists()
