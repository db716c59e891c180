"""Which servers over a user's models may leave out what only some models need."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from harness.errors import UsageError
from harness.triton.client.settings import TritonSettings
from harness.triton.launch import _load, _plain, _vary, _Written

if TYPE_CHECKING:
    from harness.triton.server.process import TritonServer

CONFIG = """
backend: "python"
input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
MODELS = {
    "front": "class TritonPythonModel: ...",
    "plain": "class TritonPythonModel: ...",
    "finalizing": "class TritonPythonModel:\n    def finalize(self): ...",
    "completing": "class TritonPythonModel:\n    def auto_complete_config(config): ...",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, code in MODELS.items():
        version = tmp_path / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(code)
        (version.parent / "config.pbtxt").write_text(CONFIG)
    return tmp_path / "models"


@pytest.mark.parametrize(
    ("colocated", "plain"),
    [
        ([], True),
        ([{"name": "plain"}], True),
        ([{"name": "finalizing"}], False),
        ([{"name": "plain"}, {"name": "completing"}], False),
        ([{"name": "b", "model": {"source": {"triton": "finalizing"}}}], False),
        ([{"name": "finalizing", "model": {"source": {"triton": "plain"}}}], True),
    ],
)
def test_the_models_colocated_are_asked_too(
    repository: Path, colocated: list[dict[str, Any]], plain: bool
) -> None:
    spec = TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t",
        "server": {"repository": str(repository)},
        "colocated": [{**other, "load": {"concurrency": 1}} for other in colocated],
    })  # fmt: skip
    assert _plain(spec, repository.parent, "front") is plain


@pytest.mark.parametrize("model", ["front", "plain", "finalizing", "completing"])
def test_what_is_loaded_holds_regular_files_only(repository: Path, model: str) -> None:
    """Triton opens a pipe and waits; what it does not load may hold what it likes."""
    os.mkfifo(repository / model / "1" / "weights")
    spec = TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t", "composing": ["plain"],
        "server": {"repository": str(repository)},
        "colocated": [{"name": "finalizing", "load": {"concurrency": 1}}],
    })  # fmt: skip
    is_refused = pytest.raises(UsageError, match="1/weights is a named pipe, not a regular file")
    with contextlib.nullcontext() if model == "completing" else is_refused:
        _vary(repository.parent / "out", "front", spec, repository.parent, None)


class Recorded:
    """Instead of a server: how long each model may take."""

    def __init__(self) -> None:
        self.asked: dict[str, float] = {}

    def load(self, name: str, *, timeout: float) -> float:
        self.asked[name] = timeout
        return 1.0


def test_load_timeout_is_what_each_model_of_a_server_may_take(tmp_path: Path) -> None:
    """Also one that hangs in initialize, which `start_timeout` is not about."""
    spec = TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t", "composing": ["step"],
        "server": {"repository": str(tmp_path), "start_timeout": "1s"},
    })  # fmt: skip
    server = Recorded()
    seconds, _ = _load(
        cast("TritonServer", server), spec, _Written(tmp_path, "m", changed=False), 7.5, alone=True
    )
    assert server.asked == {"step": 7.5, "m": 7.5}
    assert seconds == 2.0
