"""The shards of a run as tasks of a real Ray cluster of two nodes, each a process of its own.

Ray is an extra that `make setup` leaves out: HARNESS_TEST_RAY names a Python that has it (a virtual
environment with `pip install ray`), or it is installed beside the harness.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.results.rows import MeasurementRow
from harness.results.store import read_run

PYTHON = os.environ.get("HARNESS_TEST_RAY") or (
    sys.executable if importlib.util.find_spec("ray") else ""
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not PYTHON, reason="Ray is not installed: HARNESS_TEST_RAY names no Python"),
]
TEXT = """
scenario: short
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 1}]
load: {concurrency: [1, 2]}
measurement:
  {profile: quick, rounds: 4, rounds_max: 4, warmup: 10ms, window: 100ms, window_max: 2s}
"""


def submit(folder: Path, *lose: str) -> str:
    """The driver, to its end; what it and its tasks printed."""
    harness = f"env PYTHONPATH={ROOT} {sys.executable} -m harness"
    done = subprocess.run(
        [PYTHON, ROOT / "tests" / "support" / "ray_cluster.py", *lose,
         ROOT / "docker/ray/shards.py", folder / "s.yaml", folder / "runs", "--shards", "2",
         "--gpus", "0", "--cpus", "1", "--command", harness],
        capture_output=True, text=True, timeout=280, check=False, cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    busy = 4  # the verdict where the machine was busy while it measured
    assert done.returncode in (0, busy), done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_two_nodes_measure_a_shard_each_and_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT)
    said = submit(tmp_path)
    nodes = re.findall(r"shard (\d)/2: exit code \d, on node (\w+)", said)
    assert sorted(k for k, _ in nodes) == ["0", "1"]
    assert len({node for _, node in nodes}) == 2, nodes
    merged = read_run(tmp_path / "runs" / "merged")
    assert merged.complete
    measured = sorted((m.round, m.point) for m in merged.rows(MeasurementRow))
    assert measured == [(n, f"fake/b1/c{c}") for n in range(4) for c in (1, 2)]
    lines = (tmp_path / "runs" / "shard-0" / "journal.jsonl").read_text().splitlines()
    assert "merged before" in submit(tmp_path)
    again = (tmp_path / "runs" / "shard-0" / "journal.jsonl").read_text().splitlines()
    assert again == lines


def test_the_shard_of_a_lost_node_goes_on_elsewhere_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT.replace("window: 100ms", "window: 1s"))
    journal = tmp_path / "runs" / "shard-0" / "journal.jsonl"
    said = submit(tmp_path, "--lose", str(journal), "0/2")
    (lost,) = re.findall(r"lost node (\w+)", said)
    nodes = dict(re.findall(r"shard (\d)/2: exit code \d, on node (\w+)", said))
    assert sorted(nodes) == ["0", "1"]
    assert nodes["0"] != lost
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert events.index("measurement") < len(events) - 1 - events[::-1].index("run_resumed")
    merged = read_run(tmp_path / "runs" / "merged")
    assert merged.complete
    measured = sorted((m.round, m.point) for m in merged.rows(MeasurementRow))
    assert measured == [(n, f"fake/b1/c{c}") for n in range(4) for c in (1, 2)]
