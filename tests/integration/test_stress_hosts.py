"""Master and worker on two hosts: network namespaces joined by a veth pair, clocks and all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.stress import loaded

from harness.swarm.progress import read_records
from harness.swarm.recorder import merge

MASTER = """
import json, sys
from pathlib import Path
from support.stress import loaded, plan_of
from harness.swarm.generator import Generator, Where
home = Path(sys.argv[1])
plan, where = plan_of(loaded(home / "here")), Where(1, master="10.77.0.1:5557", join_s=90)
with Generator(plan, [], where, folder=home / "out", logs=home, base=home / "here") as generator:
    for event in generator.events():
        if event:
            print(json.dumps(event), flush=True)
"""
HOSTS = """
set -e
ip link set lo up
unshare -n sleep 300 & there=$!
trap 'kill $there' EXIT
for i in $(seq 100); do
  [ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/$$/ns/net)" ] && break; sleep 0.05
done
ip link add v0 type veth peer name v1 netns $there
ip addr add 10.77.0.1/24 dev v0; ip link set v0 up
nsenter -t $there -n ip addr add 10.77.0.2/24 dev v1
nsenter -t $there -n ip link set v1 up
"$PYTHON" -c "$MASTER" "$HOME_" > "$HOME_/events" & master=$!
for i in $(seq 600); do grep -q listening "$HOME_/events" && break; sleep 0.1; done
nsenter -t $there -n "$PYTHON" -m harness stress "$HOME_/there/naps.yaml" --worker 10.77.0.1:5557
wait $master
"""


def lacks() -> str:
    """Why no namespaces can be had here; empty where they can."""
    missing = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    try_ = "ip link set lo up && ip link add v0 type veth peer name v1"
    tried = subprocess.run(
        ["unshare", "-rn", "sh", "-c", try_], check=False, capture_output=True, text=True
    )
    return "" if tried.returncode == 0 else f"namespaces not allowed: {tried.stderr.strip()}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if why := lacks():
        pytest.skip(why)
    home = tmp_path_factory.mktemp("hosts")
    loaded(home / "there")
    environment = {
        **os.environ, "PYTHON": sys.executable, "MASTER": MASTER, "HOME_": str(home),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    done = subprocess.run(
        ["unshare", "-rn", "bash", "-c", HOSTS], env=environment, check=False,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.mark.slow
def test_the_worker_joins_from_there_with_its_own_copy_of_the_scenario(home: Path) -> None:
    events = [json.loads(line) for line in (home / "events").read_text("utf-8").splitlines()]
    (joined,) = [e for e in events if e["event"] == "joined"]
    assert joined["clock_error_ns"] < 1e9
    assert events[-1]["event"] == "done"
    assert not [e for e in events if e["event"] in ("worker_lost", "refused")]


@pytest.mark.slow
def test_its_records_are_the_masters_on_the_masters_clock(home: Path) -> None:
    events = [json.loads(line) for line in (home / "events").read_text("utf-8").splitlines()]
    start = next(e["at_ns"] for e in events if e["event"] == "started")
    samples = merge(read_records(home / "out")).samples
    assert len(samples) == events[-1]["requests"] > 50
    assert (samples.sent > start - 2e9).all()
    assert ((samples.done - samples.sent) >= 10_000_000).all()
