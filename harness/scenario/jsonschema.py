"""The JSON Schema (draft 2020-12) of a scenario file, for editors.

It knows keys, types and words, not what must hold between keys: `harness validate` does.
"""

from __future__ import annotations

from typing import Any

from harness.scenario.spec.scenario import SOURCE_KINDS, Scenario

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def scenario_schema() -> dict[str, Any]:
    """The schema as JSON-able data."""
    schema = Scenario.model_json_schema(mode="validation")
    for part in (schema, *schema["$defs"].values()):
        part.pop("title", None)
        for spec in part.get("properties", {}).values():
            spec.pop("title", None)
            _drop_empty_default(spec)
    schema["$defs"]["Source"]["oneOf"] = [{"required": [kind]} for kind in SOURCE_KINDS]
    return {"$schema": DIALECT, "title": "harness scenario", **schema}


def _drop_empty_default(spec: dict[str, Any]) -> None:
    """`null` and an empty name mean "left out": no default that an editor should write."""
    if spec.get("default", 0) in (None, ""):
        del spec["default"]
