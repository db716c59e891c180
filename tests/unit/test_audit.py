"""`make audit`: what is said where advisories were read, and where they could not be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support import audit

ASKED = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1"}, {"id": "GHSA-2"}]}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


class Advisories(BaseHTTPRequestHandler):
    """An index with advisories at /with, without at /without, and else nothing."""

    def do_GET(self) -> None:
        self.send_response(200 if "with" in self.path else 404)
        self.end_headers()
        self.wfile.write(b'{"vulnerabilities": []}' if self.path == "/with" else b'{"info": {}}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def asked(folder: Path, advisories: str, *more: str) -> tuple[str, int]:
    """What is printed, and the exit code, with the pip_audit that lies in `folder`."""
    python = folder / "environment" / "bin" / "python"
    if not python.exists():
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
    done = subprocess.run(
        [sys.executable, audit.__file__, "constraints.txt", "--advisories", advisories,
         "--environment", str(folder / "environment"), *more],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(folder)}, check=False,
    )  # fmt: skip
    assert not done.stderr
    return done.stdout, done.returncode


def write_answer(folder: Path, packages: list[object] | None) -> None:
    answer = json.dumps({"dependencies": packages}) if packages else ""
    script = f"import sys\nprint({answer!r})\nsys.exit('no name resolved')\n"
    (folder / "pip_audit.py").write_text(f"if __name__ == '__main__':\n    exec({script!r})\n")


@pytest.mark.parametrize(("packages", "code", "words"), [
    ([ASKED, BAD, SKIPPED], 1,
     "b 2: CVE-1, GHSA-2\n1 of 2 packages are vulnerable\nnot asked about: c\n"),
    ([ASKED], 0, "0 of 1 packages are vulnerable\n"),
    ([SKIPPED, SKIPPED], 0, "NOT AUDITED: the advisories know none of the packages\n"),
    (None, 0, "NOT AUDITED: no name resolved\n"),
])  # fmt: skip
def test_what_was_not_asked_about_counts_as_not_audited(
    tmp_path: Path, index: str, packages: list[object] | None, code: int, words: str
) -> None:
    write_answer(tmp_path, packages)
    assert asked(tmp_path, f"{index}/with") == (words, code)


@pytest.mark.parametrize(("path", "reason"), [
    ("/without", " has no advisories"), ("/none", ": HTTP Error 404: Not Found"),
])  # fmt: skip
def test_without_advisories_nothing_is_installed(
    tmp_path: Path, index: str, path: str, reason: str
) -> None:
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    (tmp_path / "environment" / "bin" / "python").symlink_to("/bin/false")
    said = asked(tmp_path, index + path)
    assert said == (f"NOT AUDITED: {index}{path}{reason}\n", 0)
    nobody = "http://127.0.0.1:1/pip"
    assert asked(tmp_path, nobody) == (
        f"NOT AUDITED: {nobody}: <urlopen error [Errno 111] Connection refused>\n", 0
    )  # fmt: skip


def test_a_good_answer_lasts_a_day_and_for_the_same_packages(tmp_path: Path, index: str) -> None:
    write_answer(tmp_path, [ASKED])
    assert asked(tmp_path, f"{index}/with", "--once-a-day")[0].startswith("0 of 1")
    assert asked(tmp_path, f"{index}/with", "--once-a-day") == ("", 0)
    write_answer(tmp_path, [BAD])
    assert asked(tmp_path, f"{index}/with")[1] == 1  # make audit asks always
    stamp = tmp_path / "environment" / "asked"
    stamp.write_text(stamp.read_text() + "0")  # of other packages, or another day
    assert asked(tmp_path, f"{index}/with", "--once-a-day")[1] == 1
    assert asked(tmp_path, f"{index}/with", "--once-a-day")[1] == 1
