"""Synthetic runs, read and summarised once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic_run import write_run
from support.synthetic_variants import write_variants

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
    run = write_run(
        tmp_path_factory.mktemp("runs") / "gpu", gpu=True,
        constraints={"latency_p99_ms": {"max": 20.0}},
    )  # fmt: skip
    return build_context(read_run(run))


@pytest.fixture(scope="session")
def variants_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    limit = {"latency_p99_ms": {"max": 60.0}}
    return write_variants(tmp_path_factory.mktemp("runs") / "variants", constraints=limit)


@pytest.fixture(scope="session")
def variants(variants_run: Path) -> Context:
    return build_context(read_run(variants_run))


@pytest.fixture(scope="session")
def evil_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "evil", evil=True)
