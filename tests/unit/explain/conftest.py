"""Synthetic runs of which a point is explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic_run import write_run

from harness.report.model.context import Context, build_context
from harness.results.store import read_run


@pytest.fixture(scope="session")
def cpu_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "cpu")


@pytest.fixture(scope="session")
def cpu(cpu_run: Path) -> Context:
    return build_context(read_run(cpu_run))


@pytest.fixture(scope="session")
def gpu(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return build_context(read_run(write_run(tmp_path_factory.mktemp("runs") / "gpu", gpu=True)))


@pytest.fixture(scope="session")
def evil_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "evil", evil=True)
