"""`harness plan --verify` as a user has it: the request tried under a real cap of host memory,
less by bisection, and what the exit code and the files say of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(900)
UNDECIDED = 4
TRIES = 9
ASKED = ("--rate", "1", "--slo-p99", "1s")
SCENARIO = """
scenario: verified
model: {name: sleeper, source: {fake: {}}}
backends: [{kind: fake, service_time_ms: 0.2, cache_mib: 150}]
load: {concurrency: [1]}
measurement: {profile: quick, rounds: 2, rounds_max: 2, warmup: 500ms, warmup_requests: 100,
              window: 300ms, window_requests: 700, window_max: 5s}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a run of two rounds, made anew where a busy machine let its point not be believed, or
    left one of them alone.
    """
    found = tmp_path_factory.mktemp("verified")
    (found / "s.yaml").write_text(SCENARIO)
    for _ in range(TRIES):
        done = harness(found, "run", "s.yaml", "-o", "run", "-q", "--no-report")
        planned = harness(found, "plan", "run", *ASKED)
        if done.returncode == planned.returncode == 0:
            return found
        shutil.rmtree(found / "run")
    pytest.fail(f"no run of {TRIES} is fine: {done.stdout}{done.stderr}{planned.stderr}")


def verified(folder, *words):
    """`harness plan … --verify`, again where a machine that others use lets nothing be decided."""
    for _ in range(TRIES):
        done = harness(folder, "plan", *words, "--verify")
        if done.returncode != UNDECIDED:
            break
    return done


def harness(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "harness", *words],
        cwd=folder, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip


def test_the_request_holds_under_a_cap_that_a_control_has_shown(folder):
    """Headroom of all but a little: the machine may be busy, and load is not what is asked here."""
    asked = ("--headroom", "99.9%", "--json", "--html", "plan.html")
    done = verified(folder, "run", *ASKED, *asked)
    proof = json.loads(done.stdout)["proof"]
    assert (done.returncode, proof["verified"], proof["partial"]) == (0, True, False), done.stderr
    *_, first = (t for t in proof["trials"][:2] if t["mib"] == proof["request_mib"])
    others = proof["trials"][1:]
    assert (first["outcome"], first["full"]) == ("holds", True)
    assert first["how"] in ("cgroup v1", "cgroup v2", "RLIMIT_DATA")
    assert str(first["mib"] + 64) in first["control"], "what asked for more did not get it"
    failed = [trial for trial in others if trial["outcome"] == "fails"]
    assert failed, "of some size less is not enough"
    if first["how"] != "RLIMIT_DATA":
        assert any("memory ran out" in trial["why"] for trial in failed)
    assert max(t["mib"] for t in failed if "memory" in t["why"]) < proof["request_mib"]
    assert proof["smallest_mib"] <= proof["request_mib"]
    assert proof["text"].startswith(f"Verified under {first['how']}: ")
    assert proof["text"] in " ".join((folder / "plan.html").read_text("utf-8").split())


def test_a_target_that_the_capped_point_misses_is_not_verified(folder):
    """Planned for more than it carries under the cap: without headroom, by the interval's end."""
    manifest = folder / "run" / "journal.jsonl"
    faster = folder / "faster"
    faster.mkdir()
    (faster / "manifest.json").write_bytes((folder / "run" / "manifest.json").read_bytes())
    lines = []
    for line in manifest.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row.get("event") == "measurement":
            row["throughput"] *= 1000
        lines.append(json.dumps(row))
    (faster / "journal.jsonl").write_text("\n".join(lines) + "\n")
    done = verified(folder, "faster", *ASKED)
    assert done.returncode == 1, done.stderr
    assert "Not verified: under " in " ".join(done.stdout.split())
    assert "are asked" in done.stdout
