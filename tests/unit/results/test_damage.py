"""Journals and manifests damaged at random: every command that reads one answers, or refuses.

Some mutants here; HARNESS_MUTANTS=2000 makes that many.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from support.mutants import (
    damaged,
    read_everything,
    resume_everything,
    small_runs,
    use_everything,
)

from harness.errors import HarnessError
from harness.results.store import JOURNAL, MANIFEST

MUTANTS = int(os.environ.get("HARNESS_MUTANTS", "32"))
EVERY = 1 if "HARNESS_MUTANTS" in os.environ else 8
"""Of so many mutants the commands built on a run take one; they are slower."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return small_runs(tmp_path_factory.mktemp("runs"))


def test_whole_runs_are_read_without_a_word(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        assert read_everything(run, tmp_path) == ()
        use_everything(run, tmp_path)
    resume_everything(runs[0])


@pytest.mark.timeout(60 + 5 * MUTANTS)
@pytest.mark.parametrize("share", range(4))
def test_no_damage_is_an_internal_error(runs: list[Path], tmp_path: Path, share: int) -> None:
    for seed in range(share, MUTANTS, 4):
        rng = random.Random(seed)
        run = shutil.copytree(rng.choice(runs), tmp_path / "run", dirs_exist_ok=True)
        file = run / rng.choice((JOURNAL, JOURNAL, MANIFEST))
        file.write_bytes(damaged(file.read_bytes(), rng))
        readers = [read_everything, lambda run, _: resume_everything(run)]
        for read in (*readers, *([use_everything] if seed % EVERY == 0 else [])):
            try:
                read(run, tmp_path)
            except HarnessError as error:
                assert error.message, seed
            except Exception as error:
                raise AssertionError(f"mutant {seed}: {file.name} of {run}") from error
        shutil.rmtree(run)
