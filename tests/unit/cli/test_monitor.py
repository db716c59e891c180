"""`harness monitor`: the command stands in its room; here, what its arguments mean."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.cli.monitor import command
from harness.errors import UsageError


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
