"""`make audit`: what is said where advisories were read, and where they could not be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import audit

ASKED = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1"}, {"id": "GHSA-2"}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(("packages", "code", "words"), [
    ([ASKED, BAD, SKIPPED], 1,
     "b 2: CVE-1, GHSA-2\n1 of 2 packages are vulnerable\nnot asked about: c\n"),
    ([ASKED], 0, "0 of 1 packages are vulnerable\n"),
    ([SKIPPED, SKIPPED], 0, "NOT AUDITED: the advisories can't be reached from here\n"),
    (None, 0, "NOT AUDITED: the advisories can't be reached from here: no name resolved\n"),
])  # fmt: skip
def test_what_was_not_asked_about_counts_as_not_audited(
    tmp_path: Path, packages: list[object] | None, code: int, words: str
) -> None:
    answer = json.dumps({"dependencies": packages}) if packages else ""
    script = f"import sys\nprint({answer!r})\nsys.exit('no name resolved')\n"
    (tmp_path / "pip_audit.py").write_text(script)
    done = subprocess.run(
        [sys.executable, audit.__file__, "constraints.txt"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (words, code)
