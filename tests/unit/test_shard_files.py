"""The files that run shards: Kubernetes takes them, bash does, and the arguments are ours."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from support.paths import ROOT

from harness.cli.merge import command as merge
from harness.cli.run import command as run
from harness.fleet.shard import parse_shard
from harness.run.shard import Shard
from harness.scenario.reading.loader import load_text

JOBS = ROOT / "docker" / "kubernetes" / "shards.yaml"
SLURM = ROOT / "docker" / "slurm" / "shards.sh"


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Any]:
    documents = YAML(typ="safe").load_all(JOBS.read_text("utf-8"))
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def container(job: Any) -> Any:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    return found


def test_kubernetes_takes_every_object(parts: dict[tuple[str, str], Any]) -> None:
    assert len(parts) == 4
    for document in parts.values():
        kubernetes_validate.validate(document, "1.36", strict=True)


def test_each_index_measures_its_shard(parts: dict[tuple[str, str], Any]) -> None:
    text = parts["ConfigMap", "harness-shards"]["data"]["scenario.yaml"]
    scenario = load_text(text, "scenario.yaml", ROOT)
    job = parts["Job", "harness-shards"]
    (script,) = container(job)["args"]
    first, *arguments = shlex.split(re.findall(r"^harness (run .*) &$", script, re.M)[0])
    found = run.make_context(first, arguments).params
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count
    for k in range(count):
        shard = parse_shard(found["shard"], {"JOB_COMPLETION_INDEX": str(k)})
        assert shard == Shard(k, count)
        shard.check(scenario)
        assert len(shard.rounds(scenario.measurement.rounds)) > 1  # so that a slow card is named
    words = container(parts["Job", "harness-merge"])["command"][-1].split()
    assert words[:3] == ["exec", "harness", "merge"]
    merged = merge.make_context("merge", words[3:]).params
    folder = str(found["output"]).replace("$JOB_COMPLETION_INDEX", "*")
    assert [str(d) for d in merged["directories"]] == [folder]


def test_volumes_lead_somewhere(parts: dict[tuple[str, str], Any]) -> None:
    for (kind, _), job in parts.items():
        if kind == "Job":
            volumes = {v["name"]: v for v in job["spec"]["template"]["spec"]["volumes"]}
            assert {m["name"] for m in container(job)["volumeMounts"]} == set(volumes)
            claim = volumes["runs"]["persistentVolumeClaim"]["claimName"]
            assert ("PersistentVolumeClaim", claim) in parts


FAKE = """#!{python}
import json, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
with open({log!r}, "w") as file:
    json.dump(sys.argv[1:], file)
while {waits}:
    time.sleep(0.05)
sys.exit({code})
"""


def started(
    tmp_path: Path, *, waits: bool, code: int = 0, argv: Sequence[str] = ("bash", str(SLURM))
) -> subprocess.Popen[bytes]:
    """The script as SLURM or Kubernetes starts it, with a `harness` that notes its arguments."""
    fake, log = tmp_path / "bin" / "harness", str(tmp_path / "args")
    fake.parent.mkdir()
    fake.write_text(FAKE.format(python=sys.executable, log=log, waits=waits, code=code))
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    env = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}",
           "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4",
           "JOB_COMPLETION_INDEX": "2"}  # fmt: skip
    return subprocess.Popen([*argv, "s.yaml", str(tmp_path / "runs")], env=env)


def test_an_array_task_measures_its_shard(tmp_path: Path) -> None:
    assert subprocess.run(["bash", "-n", str(SLURM)], check=False).returncode == 0
    assert started(tmp_path, waits=False).wait(20) == 0
    first, *arguments = json.loads((tmp_path / "args").read_text())
    found = run.make_context(first, arguments).params
    env = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert parse_shard(found["shard"], env) == Shard(2, 4)
    assert found["output"] == tmp_path / "runs" / "shard-2"


@pytest.mark.parametrize(("code", "ends"), [(0, 0), (1, 0), (4, 0), (5, 0), (2, 2), (130, 130)])
def test_a_pod_whose_shard_was_measured_to_its_end_is_done_whatever_was_found(
    parts: dict[tuple[str, str], Any], tmp_path: Path, code: int, ends: int
) -> None:
    """Else its index fails for a point that failed, and the Job never completes."""
    pod = started(tmp_path, waits=False, code=code, argv=words(parts))
    assert pod.wait(20) == ends
    assert json.loads((tmp_path / "args").read_text())[-2:] == ["/runs/shard-2", "--no-report"]


def words(parts: dict[tuple[str, str], Any]) -> list[str]:
    found = container(parts["Job", "harness-shards"])
    return [*found["command"], *found["args"]]


def of_system(parts: dict[tuple[str, str], Any], system: str) -> list[str]:
    """Words whose third is the script."""
    return ["bash", "-c", SLURM.read_text("utf-8"), "bash"] if system == "SLURM" else words(parts)


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize("system", ["SLURM", "Kubernetes"])
def test_a_task_that_is_to_end_lets_the_harness_write_what_it_has(
    parts: dict[tuple[str, str], Any], tmp_path: Path, system: str, stalls: bool
) -> None:
    """Also where it is told so before it waits."""
    argv = of_system(parts, system)
    if stalls:
        assert argv[2].count(" &\n") == 1
        argv[2] = argv[2].replace(" &\n", " &\nsleep 1\n")
    task = started(tmp_path, waits=True, argv=argv)
    deadline = time.monotonic() + 20
    while not (tmp_path / "args").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    task.send_signal(signal.SIGTERM)
    assert task.wait(20) == 130


@pytest.mark.parametrize("system", ["SLURM", "Kubernetes"])
def test_a_task_that_is_to_end_before_it_begins_measures_nothing(
    parts: dict[tuple[str, str], Any], tmp_path: Path, system: str
) -> None:
    argv = of_system(parts, system)
    argv[2] = re.sub(r"^harness run", "kill -TERM $$\nharness run", argv[2], flags=re.M)
    assert started(tmp_path, waits=False, argv=argv).wait(20) == 143
    assert not (tmp_path / "args").exists()


# -------------------------------------------------------------------------------------------- Ray


def test_ray_is_an_extra_that_the_harness_never_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [name.split("[")[0] for name in project["optional-dependencies"]["ray"]] == ["ray"]
    assert not any(name.startswith("ray") for name in project["dependencies"])
    sources = (ROOT / "harness").rglob("*.py")
    assert not [p for p in sources if re.search(r"^\s*(import|from) ray\b", p.read_text(), re.M)]


def test_a_task_of_ray_runs_a_shard_as_the_command_line_has_it() -> None:
    """Its words, as the file has them; tests/integration/test_ray.py runs it on a cluster."""
    text = (ROOT / "docker" / "ray" / "shards.py").read_text("utf-8")
    (found,) = re.findall(r'"run", str\(scenario\), (.*?)\]\n', text, re.S)
    options = re.findall(r'"(--[a-z-]+)"', found)
    assert options == ["--shard", "--output", "--no-report", "--quiet"]
    known = {name for p in run.params for name in (*p.opts, *p.secondary_opts)}
    assert set(options) <= known
    compile(text, "shards.py", "exec")
