"""Two runs with a known truth, written once."""

from __future__ import annotations

import pytest
from support.shared import full, scenario, write_shared

from harness.tenants.results import Results


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """With a sharing table, a matrix and a target."""
    return write_shared(tmp_path_factory.mktemp("shared") / "run", full())


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The same, where two replicas hold the target and three don't."""
    p99 = {1: 5.0, 2: 12.0, 3: 30.0}
    return write_shared(tmp_path_factory.mktemp("shared") / "good", full(), p99_ms=p99)


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """On a GPU, with stressors, and with the pairs that no prediction sees."""
    found = scenario(gpu=True, predict=True)
    return write_shared(tmp_path_factory.mktemp("shared") / "run", found, spread=0.001, rounds=2)
