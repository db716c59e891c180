"""Journals and manifests damaged at random: report, explain and --resume answer, or refuse.

Some mutants here; HARNESS_MUTANTS=2000 makes that many.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from support.mutants import damaged, read_everything, resume_everything, small_runs

from harness.errors import HarnessError
from harness.results.store import JOURNAL, MANIFEST

MUTANTS = int(os.environ.get("HARNESS_MUTANTS", "32"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_runs(tmp_path_factory.mktemp("runs"))


def test_whole_runs_are_read_without_a_word(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        assert read_everything(run, tmp_path) == ()
    resume_everything(runs[0])


@pytest.mark.timeout(60 + 5 * MUTANTS)
@pytest.mark.parametrize("share", range(4))
def test_no_damage_is_an_internal_error(runs: list[Path], tmp_path: Path, share: int) -> None:
    for seed in range(share, MUTANTS, 4):
        rng = random.Random(seed)
        run = shutil.copytree(rng.choice(runs), tmp_path / "run", dirs_exist_ok=True)
        file = run / rng.choice((JOURNAL, JOURNAL, MANIFEST))
        file.write_bytes(damaged(file.read_bytes(), rng))
        for read in (lambda: read_everything(run, tmp_path), lambda: resume_everything(run)):  # noqa: B023
            try:
                read()
            except HarnessError as error:
                assert error.message, seed
            except Exception as error:
                raise AssertionError(f"mutant {seed}: {file.name} of {run}") from error
        shutil.rmtree(run)
