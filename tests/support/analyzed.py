"""Model Analyzer files as the scenarios that they become."""

from __future__ import annotations

import textwrap
from pathlib import Path

from harness.migrate.draft import Draft
from harness.migrate.model_analyzer import translate
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario
from harness.triton.client.settings import TritonSettings

START = "model_repository: models\n"


def drafts(directory: Path, text: str) -> list[Draft]:
    """What a file becomes in a directory that has a model repository and a tritonserver."""
    (directory / "models").mkdir(exist_ok=True)
    (directory / "tritonserver").touch()
    return translate(textwrap.dedent(text), "config.yaml", directory)


def scenarios(directory: Path, text: str) -> list[Scenario]:
    """The same, read back by the harness's loader."""
    found = drafts(directory, text)
    assert [p for draft in found for p in draft.problems] == []
    return [load_text(draft.text(), "made.yaml", directory) for draft in found]


def scenario(directory: Path, text: str) -> tuple[Scenario, TritonSettings]:
    """The only scenario and its backend; `model_repository` is written for it."""
    (found,) = scenarios(directory, START + textwrap.dedent(text))
    (backend,) = found.backends
    assert isinstance(backend, TritonSettings)
    return found, backend
