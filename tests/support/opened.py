"""A run directory whose backends can be opened again: its scenario and machine for real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from support.compared import write_blocks

from harness.results.manifest import make_manifest
from harness.results.store import RunData, read_run
from harness.scenario.reading.loader import load


def begun(folder: Path, scenario: str, slower: Mapping[str, float] | None = None) -> RunData:
    """The run of a scenario's text, whose files lie in `folder`; with made-up blocks of `slower`.

    See `support.compared.write_blocks`.
    """
    path = folder / "s.yaml"
    path.write_text(scenario)
    loaded = load(path)
    manifest = make_manifest(loaded.scenario, loaded.text, loaded.path, [])
    return read_run(write_blocks(folder / "run", slower or {}, manifest=manifest))
