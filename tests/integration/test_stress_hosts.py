"""Master and worker on two hosts: network namespaces joined by a veth pair, clocks and all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT
from support.stress import loaded

from harness.results.samples import OK
from harness.stress.store import read_stress
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
REPOSITORY = ROOT / "scenarios" / "models" / "repository"
FAULTY = f"""
scenario: stress
model: {{name: identity, source: {{triton: identity}}}}
backends:
  - {{kind: triton, protocol: grpc, server: {{repository: "{REPOSITORY}"}}}}
measurement: {{profile: quick, request_timeout: 10s}}
stress:
  shape: {{constant: {{rate: 20, duration: 4s}}}}
  faults: [{{at: 1s, network: {{delay_ms: 80}}, for: 1500ms}}]
"""
HOSTS = """
set -e
ip link set lo up
unshare -n sleep 400 & there=$!
trap 'kill $there' EXIT
for i in $(seq 100); do
  [ "$(readlink /proc/$there/ns/net)" != "$(readlink /proc/$$/ns/net)" ] && break; sleep 0.05
done
ip link add v0 type veth peer name v1 netns $there
ip addr add 10.77.0.1/24 dev v0; ip link set v0 up
nsenter -t $there -n ip addr add 10.77.0.2/24 dev v1
nsenter -t $there -n ip link set v1 up
eval "$RUN" > "$HOME_/events" & master=$!
for i in $(seq 900); do grep -q listening "$HOME_/events" && break; sleep 0.1; done
nsenter -t $there -n "$PYTHON" -m harness stress "$HOME_/there/$FILE" --worker 10.77.0.1:5557
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


def two_hosts(home: Path, run: str, file: str) -> None:
    """The master by the command line `run`, a worker on the other host with `there/FILE`."""
    if why := lacks():
        pytest.skip(why)
    environment = {
        **os.environ, "PYTHON": sys.executable, "MASTER": MASTER, "HOME_": str(home), "RUN": run,
        "FILE": file, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    done = subprocess.run(
        ["unshare", "-rn", "bash", "-c", HOSTS], env=environment, check=False,
        capture_output=True, text=True, timeout=290,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("hosts")
    loaded(home / "there")
    two_hosts(home, '"$PYTHON" -c "$MASTER" "$HOME_"', "naps.yaml")
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


@pytest.mark.slow
@pytest.mark.triton
def test_a_slow_network_is_seen_by_who_asks_from_another_host(tmp_path: Path) -> None:
    """The server answers on the master's loopback alone; the proxy leads the worker to it."""
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "stress.yaml").write_text(FAULTY, encoding="utf-8")
    two_hosts(tmp_path, '"$PYTHON" -m harness stress "$HOME_/here/stress.yaml" --json '
              '--master 10.77.0.1:5557 --no-report -o "$HOME_/run"', "stress.yaml")  # fmt: skip
    run = read_stress(tmp_path / "run")
    (fault,) = run.outcome.faults
    assert (fault["kind"], fault["problem"]) == ("network", "")
    samples = run.samples
    at = (samples.sent - run.outcome.start_ns) / 1e9
    latency_ms = (samples.done - samples.sent) / 1e6
    slow = (at > fault["begin"]) & (at < fault["end"] - 0.2)
    before = at < fault["begin"] - 0.2
    assert (samples.status == OK).all()
    assert slow.sum() > 10
    assert (latency_ms[slow] >= 160).all()  # there and back
    assert before.any()
    assert latency_ms[before].min() < 160
