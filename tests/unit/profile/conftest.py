from __future__ import annotations

from pathlib import Path

import pytest
from support.profiled import real_profile


@pytest.fixture(scope="session")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a real profile; tests that change it work on a copy."""
    return real_profile(tmp_path_factory.mktemp("profiled"))
