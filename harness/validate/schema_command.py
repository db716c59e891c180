"""`harness schema`: the JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json

import click


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of scenario files (draft 2020-12), for editors.

    With the YAML language server: `harness schema > scenario.schema.json`, and as the first line
    of a scenario `# yaml-language-server: $schema=scenario.schema.json`.
    """
    from harness.validate.reference import scenario_schema

    click.echo(json.dumps(scenario_schema(), indent=2))
