"""`harness telemetry serve`: what it refuses before it listens."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.telemetry import command
from harness.errors import HarnessError


@pytest.fixture
def pem(tmp_path: Path) -> str:
    (tmp_path / "x.pem").write_text("")
    return str(tmp_path / "x.pem")


@pytest.mark.parametrize(("args", "code", "words"), [
    (("--pid", "1", "--name", "x"), 2, "give --pid or --name, not both"),
    (("--cert", "PEM"), 2, "--cert and --key go together"),
    (("--key", "PEM"), 2, "--cert and --key go together"),
    (("--keep", "soon"), 2, "--keep: "),
    ((), 3, "HARNESS_TELEMETRY_TOKEN must hold a token of at least 16 characters"),
    (("--token-env", "OTHER"), 3, "OTHER must hold a token"),
])  # fmt: skip
def test_refused(
    args: tuple[str, ...], code: int, words: str, pem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_TELEMETRY_TOKEN", "fifteen-letters")
    with pytest.raises(HarnessError, match=words) as caught:
        CliRunner().invoke(
            command, ["serve", *(pem if a == "PEM" else a for a in args)], standalone_mode=False,
            catch_exceptions=False,
        )  # fmt: skip
    assert caught.value.exit_code == code
