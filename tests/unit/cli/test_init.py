"""`harness init`: the command stands in its room; here, that it is the one that is listed."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.cli import init
from harness.errors import UsageError


@pytest.mark.parametrize("text", ["x", "x=float32", "x=no:batch"])
def test_a_bad_input_is_refused_before_anything_is_looked_at(text: str) -> None:
    with pytest.raises(UsageError, match="--input"):
        CliRunner().invoke(
            init.command, ["a:b", "--yes", "--input", text], standalone_mode=False,
            catch_exceptions=False,
        )  # fmt: skip
