"""build_report."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.synthetic_run import write_all_failed, write_bare, write_run

from harness.errors import RunDirectoryError, UsageError
from harness.report.build import build_report
from harness.results.samples import Samples, write_samples
from harness.results.store import read_run


def test_files_go_to_the_run_directory_and_replace_older_ones(tmp_path: Path) -> None:
    run = write_all_failed(tmp_path / "r")
    paths = build_report(run)
    assert paths.html == run / "report.html"
    assert paths.pdf == run / "report.pdf"
    assert [p.name for p in paths.csvs][-2:] == ["summary.csv", "measurements.csv"]
    assert paths.json == run / "summary.json"
    before = [p.read_bytes() for p in paths.all()]
    assert [p.read_bytes() for p in build_report(run).all()] == before


def test_cycles_are_looked_for_again_afterwards(tmp_path: Path) -> None:
    gc.enable()  # whatever a load that was never stopped has left
    build_report(write_bare(tmp_path / "r"), formats=("csv",))
    assert gc.isenabled()
    with pytest.raises(RunDirectoryError):
        build_report(tmp_path)
    assert gc.isenabled()


def test_a_report_imports_nothing_that_is_slow_to_import_and_not_needed(tmp_path: Path) -> None:
    """pandas alone takes half a second."""
    run = write_run(tmp_path / "run", rounds=1)
    times = np.arange(100)
    samples = Samples(times, times, times + 5, np.zeros(100, np.uint8), np.zeros(100, np.uint16))
    write_samples(run / read_run(run).measurements[0].samples, samples, {})
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.report.build import build_report\n"
        "build_report(Path(sys.argv[1]), output=Path(sys.argv[2]))\n"
        "print(sorted({'pandas', 'scipy.stats', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(run), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    run = write_bare(tmp_path / "r")
    paths = build_report(run, output=tmp_path / "a" / "b", formats=("csv",))
    assert (paths.html, paths.pdf) == (None, None)
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == sorted(
        p.name for p in paths.csvs
    )


def test_wrong_directory_and_format(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        build_report(tmp_path)
    with pytest.raises(UsageError, match="unknown report format 'docx'"):
        build_report(write_bare(tmp_path / "r"), formats=("docx",))
