"""A run's directory said again, as `harness report` does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.stress import loaded, records

from harness.cli.main import main
from harness.results.manifest import make_manifest
from harness.results.store import RunStore
from harness.stress.store import Outcome, write_requests


def test_harness_report_knows_the_directory_of_a_stress_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, run = loaded(tmp_path), tmp_path / "run"
    RunStore.create(run, make_manifest(found.scenario, found.text, found.path, [])).close()
    Outcome(status="complete", start_ns=5_000_000_000, seconds=2.0).save(run)
    write_requests(run, records(np.arange(0, 2, 0.1), 5.0), {})
    with pytest.raises(SystemExit) as info:
        main(["report", str(run)])
    assert not info.value.code
    assert capsys.readouterr().out.split() == [
        str(run / name) for name in ("report.html", "report.pdf", "results.json", "junit.xml")
    ]
    assert (run / "report.pdf").read_bytes().startswith(b"%PDF")
    assert "20 requests in 2 s" in (run / "report.html").read_text(encoding="utf-8")
