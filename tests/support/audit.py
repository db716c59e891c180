"""Known vulnerabilities of the pinned packages, by pip-audit: `make audit`.

Says how many packages could be asked about, since pip-audit calls those that an index knows nothing
of no more than "skipped": where the advisories can't be reached nothing was audited, and that is
said. Exit code 1 where a package has a known vulnerability.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path


def audit(requirements: Path) -> tuple[list[str], list[str], int, str]:
    """Vulnerable packages with their advisories, packages not asked about, how many there are, and
    why pip-audit gave no answer.
    """
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off",
               "--no-deps", "--disable-pip", "--timeout", "10", "-r", requirements]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], [], 0, (done.stderr.strip().splitlines() or ["no answer"])[-1]
    bad = [
        f"{p['name']} {p['version']}: {', '.join(v['id'] for v in p['vulns'])}"
        for p in packages if p.get("vulns")
    ]  # fmt: skip
    return bad, [p["name"] for p in packages if "skip_reason" in p], len(packages), ""


def main() -> int:
    """Print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", type=Path, nargs="?", default=Path("constraints.txt"))
    bad, skipped, count, why = audit(parser.parse_args().requirements)
    if why or len(skipped) == count:
        print(f"NOT AUDITED: the advisories can't be reached from here{f': {why}' if why else ''}")
        return 0
    print("\n".join([*bad, f"{len(bad)} of {count - len(skipped)} packages are vulnerable"]))
    if skipped:
        print(f"not asked about: {', '.join(skipped)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
