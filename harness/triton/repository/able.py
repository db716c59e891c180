"""Which models of a repository the embedded server can run."""

from __future__ import annotations

from pathlib import Path

from harness.errors import ServerError
from harness.triton.repository.change import read_config

NO_BACKEND = "{} has no backend for {}; use a full server image"


def split_models(repository: Path) -> tuple[list[str], dict[str, str]]:
    """Models that the embedded server can run, and the others with the reason."""
    able, unable = [], {}
    for config in sorted(repository.glob("*/config.pbtxt")):
        name = config.parent.name
        if reason := why_not(config):
            unable[name] = reason
        else:
            able.append(name)
    return able, unable


def why_not(path: Path) -> str:
    """Why it can't run the model with this config.pbtxt; empty where it can."""
    try:
        config = read_config(path.parent)
    except ServerError as error:
        return error.message
    code = [p for p in path.parent.glob("*/model.py") if p.parent.name.isdigit()]
    runs = config.backend or config.platform or ("python" if code else "")
    if runs not in ("python", "ensemble"):
        return NO_BACKEND.format("the embedded server", runs or "it")
    if runs == "python" and not code:
        return "it has no version with a model.py yet: run `harness prepare --repository`"
    return ""
