"""Which models of a repository the embedded server can run."""

from __future__ import annotations

from pathlib import Path

from harness.errors import ServerError
from harness.triton.repository.change import read_config


def split_models(repository: Path) -> tuple[list[str], dict[str, str]]:
    """Models that the embedded server can run, and the others with the reason."""
    able, unable = [], {}
    for config in sorted(repository.glob("*/config.pbtxt")):
        name = config.parent.name
        if reason := _why_not(config):
            unable[name] = reason
        else:
            able.append(name)
    return able, unable


def _why_not(path: Path) -> str:
    try:
        config = read_config(path.parent)
    except ServerError as error:
        return error.message
    runs = config.backend or config.platform
    if runs not in ("python", "ensemble"):
        return f"the embedded server has no backend for {runs or 'it'}; use a full server image"
    code = path.parent.glob("*/model.py")
    if runs == "python" and not any(p.parent.name.isdigit() for p in code):
        return "it has no version with a model.py yet: run `harness prepare --repository`"
    return ""
