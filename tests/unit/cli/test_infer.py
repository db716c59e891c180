"""`harness infer`: the command stands in its room; here, that it is the one that is listed."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from harness.cli.infer import command
from harness.errors import UsageError


def test_a_bad_input_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UsageError, match="not NAME=FILE"):
        CliRunner().invoke(
            command, ["nowhere.yaml", "--input", "x"], standalone_mode=False, catch_exceptions=False
        )
