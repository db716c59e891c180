import json
import os
import platform
import shutil
import subprocess
import sys

import psutil
import pytest

from harness.system import machine
from harness.system.machine import (
    cgroup_limits,
    container,
    cpu_model,
    describe_cpu,
    describe_machine,
    git_state,
    memory_kills,
    package_versions,
    probe_gpus,
    turbo,
)


def tree(root, files):
    """Files below `root`, as the kernel shows them."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_this_machine_as_json():
    facts = describe_machine()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["python"] == platform.python_version()
    assert facts["kernel"] == os.uname().release
    assert facts["memory_mib"] == round(psutil.virtual_memory().total / 2**20)
    assert 1 <= facts["cpu"]["usable"] <= facts["cpu"]["threads"]


def test_the_facts_import_none_of_the_heavy_packages():
    code = (
        "import sys; from harness.system.machine import *; describe_machine(); package_versions()\n"
        "print({'torch', 'numpy', 'pandas', 'onnxruntime', 'tritonclient'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ------------------------------------------------------------------------------------------- CPU


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("model name\t: AMD EPYC 9654", "AMD EPYC 9654"),
        ("Model\t\t: Raspberry Pi 5", "Raspberry Pi 5"),
    ],
)
def test_cpu_model(tmp_path, line, model):
    tree(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{line}\nflags\t: fpu"})
    assert cpu_model(tmp_path) == model


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"sys/devices/system/cpu/intel_pstate/no_turbo": "1"}, False),
        ({"sys/devices/system/cpu/intel_pstate/no_turbo": "0"}, True),
        ({"sys/devices/system/cpu/cpufreq/boost": "1"}, True),
        ({"sys/devices/system/cpu/cpufreq/boost": "0"}, False),
    ],
)
def test_turbo(tmp_path, files, expected):
    assert turbo(tree(tmp_path, files)) is expected


def test_governor(tmp_path):
    tree(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance"})
    assert describe_cpu(tmp_path)["governor"] == "performance"


# ------------------------------------------------------------------------- containers and limits

NO_LIMIT = {"cpus": None, "memory_mib": None}
V2 = "sys/fs/cgroup"


def test_no_control_groups_no_limits(tmp_path):
    assert cgroup_limits(tmp_path) == NO_LIMIT


def test_version_2_in_a_container(tmp_path):
    tree(tmp_path, {
        "proc/self/cgroup": "0::/", f"{V2}/cpu.max": "150000 100000",
        f"{V2}/memory.max": str(4 * 2**30),
    })  # fmt: skip
    assert cgroup_limits(tmp_path) == {"cpus": 1.5, "memory_mib": 4096.0}


def test_version_2_the_tightest_of_all_parents_holds(tmp_path):
    tree(tmp_path, {
        "proc/self/cgroup": "0::/user.slice/job",
        f"{V2}/user.slice/cpu.max": "200000 100000", f"{V2}/user.slice/memory.max": "max",
        f"{V2}/user.slice/job/cpu.max": "max 100000",
        f"{V2}/user.slice/job/memory.max": str(2**30),
    })  # fmt: skip
    assert cgroup_limits(tmp_path) == {"cpus": 2.0, "memory_mib": 1024.0}


def test_version_1(tmp_path):
    tree(tmp_path, {
        "proc/self/cgroup": "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/",
        f"{V2}/cpu,cpuacct/docker/ab/cpu.cfs_quota_us": "50000",
        f"{V2}/cpu,cpuacct/docker/ab/cpu.cfs_period_us": "100000",
        f"{V2}/memory/docker/ab/memory.limit_in_bytes": str(2**31),
        f"{V2}/memory/memory.limit_in_bytes": "9223372036854771712",
    })  # fmt: skip
    assert cgroup_limits(tmp_path) == {"cpus": 0.5, "memory_mib": 2048.0}


def test_version_1_without_limits(tmp_path):
    tree(tmp_path, {
        "proc/self/cgroup": "5:cpu:/\n4:memory:/", f"{V2}/cpu/cpu.cfs_quota_us": "-1",
        f"{V2}/cpu/cpu.cfs_period_us": "100000",
        f"{V2}/memory/memory.limit_in_bytes": "9223372036854771712",
    })  # fmt: skip
    assert cgroup_limits(tmp_path) == NO_LIMIT


def test_what_was_ended_for_want_of_memory_is_counted(tmp_path):
    assert memory_kills(tmp_path) == 0
    tree(tmp_path, {
        "proc/self/cgroup": "4:memory:/job\n0::/new",
        f"{V2}/new/memory.events": "oom 3\noom_kill 2",
        f"{V2}/memory/job/memory.oom_control": "under_oom 0\noom_kill 1\n",
        f"{V2}/memory/memory.oom_control": "oom_kill\n\noom_kill x\ngarbage",
    })  # fmt: skip
    assert memory_kills(tmp_path) == 3


@pytest.mark.parametrize("text", ["", "garbage", "max", "1 2", "0 0", "-1"])
def test_odd_files_are_no_limits(tmp_path, text):
    tree(tmp_path, {"proc/self/cgroup": "0::/", f"{V2}/cpu.max": text, f"{V2}/memory.max": text})
    assert cgroup_limits(tmp_path)["memory_mib"] is None


@pytest.mark.parametrize("text", ["garbage", "::", "0:", "\x00"])
def test_an_odd_group_list_is_no_limit(tmp_path, text):
    tree(tmp_path, {"proc/self/cgroup": text})
    assert cgroup_limits(tmp_path) == NO_LIMIT


def test_container(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("container", raising=False)
    assert container(tmp_path) is None
    assert container(tree(tmp_path, {".dockerenv": ""})) == "docker"
    assert container(tree(tmp_path, {"run/.containerenv": ""})) == "podman"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert container(tmp_path) == "kubernetes"


# ------------------------------------------------------------------------------------------ GPUs


def test_gpus_and_the_reason_for_none_go_together():
    gpus, why_not = probe_gpus()
    assert bool(gpus) != bool(why_not)
    assert describe_machine()["gpus"] == gpus


CARDS = [{"index": i, "ordinal": i, "uuid": f"GPU-{c}0"} for i, c in enumerate("abc")]


@pytest.mark.parametrize(("chosen", "found"), [
    (None, [0, 1, 2]), ("", []), ("2", [2]), ("2,0", [2, 0]), ("GPU-b", [1]), ("1,9,0", [1]),
    ("-1", []), ("MIG-x", [0, 1, 2]), (" 1 , GPU-a0", [1, 0]),
])  # fmt: skip
def test_the_gpus_are_those_that_cuda_shows_a_process(chosen, found):
    shown = machine.visible(CARDS, chosen)
    assert [gpu["index"] for gpu in shown] == found
    assert [gpu["ordinal"] for gpu in shown] == list(range(len(found)))


def test_no_nvml_package_means_no_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    gpus, why_not = probe_gpus()
    assert gpus == []
    assert "pynvml" in why_not


def test_what_is_asked_of_nvml_exists():
    import pynvml

    for name in machine._describe_gpu.__code__.co_names:
        if name.startswith("nvml"):
            assert callable(getattr(pynvml, name)), name


# ------------------------------------------------------------------------------ packages and code


def test_package_versions_are_those_installed():
    versions = package_versions()
    import numpy

    assert versions["numpy"] == numpy.__version__
    assert "inference-harness" in versions
    assert all(isinstance(v, str) for v in versions.values())
    assert set(versions) <= set(machine.PACKAGES)
    assert "onnxruntime" not in versions  # a backend's own
    assert "pydantic" in versions
    assert "pytest" in package_versions(["pytest", "not-there"])


def git(path, *args):
    config = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", path, *config, *args], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_git_state(tmp_path):
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "untracked").write_text("1")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    (tmp_path / "deep").mkdir()
    assert git_state(tmp_path / "deep") == {"commit": commit, "dirty": True}


@pytest.mark.parametrize("key", [
    "core.fsmonitor", "filter.evil.clean", "filter.evil.process", "diff.evil.textconv", "hook",
])  # fmt: skip
def test_asking_git_runs_nothing_that_the_repository_names(tmp_path, key):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "--quiet")
    (repository / "file").write_text("1")
    git(repository, "add", "file")
    git(repository, "commit", "--quiet", "--message", "first")
    if key == "hook":
        shutil.copy(program, repository / ".git/hooks/post-index-change")
    else:
        (repository / ".gitattributes").write_text("* filter=evil diff=evil")
        git(repository, "config", key, str(program))
    (repository / "file").write_text("2")  # so that git must look into it
    assert git_state(repository)["dirty"]
    assert not (tmp_path / "ran").exists()


def test_no_repository_no_git_state(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None


def test_no_git_no_git_state(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
