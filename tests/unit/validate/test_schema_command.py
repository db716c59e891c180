"""`harness schema` prints what `scenario_schema` says, as JSON."""

from __future__ import annotations

import json

from click.testing import CliRunner

from harness.validate.reference import scenario_schema
from harness.validate.schema_command import command


def test_it_prints_the_schema() -> None:
    result = CliRunner().invoke(command, [], standalone_mode=False)
    assert json.loads(result.output) == scenario_schema()
