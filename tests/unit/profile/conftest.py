from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.once import once
from support.profiled import real_profile


@pytest.fixture(scope="session")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a real profile; tests that change it work on a copy."""
    made = once(tmp_path_factory, "made", real_profile)
    return shutil.copytree(made, tmp_path_factory.mktemp("profiled") / "profile")
