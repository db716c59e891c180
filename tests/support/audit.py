"""Known vulnerabilities of the pinned packages, by pip-audit: `make audit`, and in `make lint`.

Whether advisories can be had is asked first, with one request: where they can't, as behind an index
that serves files only, `NOT AUDITED` is said with the reason, in a second and without installing
anything. pip-audit itself would call that "no known vulnerabilities found", as it does of packages
that an index knows nothing of. Exit code 1 where a package has a known vulnerability that is not
among `ACCEPTED`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import http.client
import json
import subprocess
import sys
import urllib.request
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ADVISORIES = "https://pypi.org/pypi/pip/24.0/json"
"""Where pip-audit asks, for a version that is there always."""
ACCEPTED: Mapping[str, str] = {}
"""Advisories that were looked at and don't concern the harness: their id, and why."""
ANSWER_S, INSTALL_S, AUDIT_S = 10, 240, 240


class Asked(NamedTuple):
    """What pip-audit said."""

    bad: Sequence[str]
    """Vulnerable packages, with their advisories."""
    skipped: Sequence[str]
    """Packages that the advisories know nothing of."""
    count: int


class NotAuditedError(Exception):
    """Why there is no answer."""


def require_advisories(url: str = ADVISORIES) -> None:
    """Raise NotAuditedError where nobody answers with advisories."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
            found = json.load(answer)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise NotAuditedError(f"{url}: {error}") from None
    if not isinstance(found, dict) or "vulnerabilities" not in found:
        raise NotAuditedError(f"{url} has no advisories")


def python_with_pip_audit(environment: Path) -> Path:
    """An environment of pip-audit's own: none of its packages is audited, or changes what is."""
    python = environment / "bin" / "python"
    if not python.exists():
        venv.create(environment, with_pip=True)
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "pip-audit",
    ]
    try:
        there = [str(python), "-c", "import pip_audit"]
        if subprocess.run(there, check=False, capture_output=True).returncode:
            subprocess.run(command, check=True, timeout=INSTALL_S, capture_output=True)
    except subprocess.SubprocessError as error:
        raise NotAuditedError(f"pip-audit can't be installed: {error}") from None
    return python


def audit(python: Path, requirements: Path) -> Asked:
    """Ask about every pinned package; nothing is resolved or downloaded."""
    command = [str(python), "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
               "--no-deps", "--disable-pip", "--timeout", str(ANSWER_S), "-r", str(requirements),
               *(word for name in ACCEPTED for word in ("--ignore-vuln", name))]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=AUDIT_S, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        raise NotAuditedError(f"no answer within {AUDIT_S} s") from None
    except (ValueError, KeyError):
        raise NotAuditedError((done.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    bad = [
        f"{p['name']} {p['version']}: {', '.join(v['id'] for v in p['vulns'])}"
        for p in packages if p.get("vulns")
    ]  # fmt: skip
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    if len(skipped) == len(packages):
        raise NotAuditedError("the advisories know none of the packages")
    return Asked(bad, skipped, len(packages))


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", type=Path, nargs="?", default=Path("constraints.txt"))
    parser.add_argument("--environment", type=Path, default=Path(".venv/audit"))
    parser.add_argument("--advisories", default=ADVISORIES)
    parser.add_argument(
        "--once-a-day", action="store_true", help="not again on the day of a good answer"
    )
    given = parser.parse_args()
    digest = hashlib.sha256(given.requirements.read_bytes()).hexdigest()
    today = f"{datetime.datetime.now(datetime.UTC).date()} {digest}"
    stamp = given.environment / "asked"
    if given.once_a_day and stamp.is_file() and stamp.read_text() == today:
        return 0
    try:
        require_advisories(given.advisories)
        asked = audit(python_with_pip_audit(given.environment), given.requirements)
    except NotAuditedError as error:
        print(f"NOT AUDITED: {error}")
        return 0
    known = asked.count - len(asked.skipped)
    print("\n".join([*asked.bad, f"{len(asked.bad)} of {known} packages are vulnerable"]))
    if asked.skipped:
        print(f"not asked about: {', '.join(asked.skipped)}")
    if not asked.bad:
        stamp.write_text(today)
    return 1 if asked.bad else 0


if __name__ == "__main__":
    sys.exit(main())
