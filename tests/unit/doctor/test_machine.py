import os
import resource
from pathlib import Path

import pytest

from harness.doctor import machine
from harness.system.machine import describe_machine

CPU = {"model": "X", "cores": 8, "threads": 16, "usable": 16, "governor": None, "turbo": None}


def test_every_check_of_this_machine_is_complete(tmp_path):
    checks = machine.machine_checks(describe_machine(), "no driver", 0.0, tmp_path)
    assert len({check.name for check in checks}) == len(checks) == 10
    for check in checks:
        assert check.group == "Machine"
        assert check.detail
        assert check.status in ("ok", "note", "missing")
        assert check.fix or check.status != "missing"
        assert not check.runs


@pytest.mark.parametrize(
    ("governor", "turbo", "status", "words"),
    [
        ("performance", False, "ok", "turbo off"), ("powersave", True, "note", "turbo on"),
        (None, None, "note", "not shown"),
    ],
)  # fmt: skip
def test_governor(governor, turbo, status, words):
    check = machine.governor_check({**CPU, "governor": governor, "turbo": turbo})
    assert check.status == status
    assert words in check.detail
    assert (check.fix is not None) == (governor == "powersave")


@pytest.mark.parametrize(("load", "status"), [(0.0, "ok"), (2.0, "ok"), (2.1, "note")])
def test_a_quarter_of_the_cores_may_be_busy(load, status):
    assert machine.load_check(8, load).status == status


def test_one_core_is_noted():
    assert machine.cpu_check({**CPU, "usable": 1}).status == "note"
    assert machine.cpu_check(CPU).status == "ok"


def test_limits():
    assert machine.limits_check({"cpus": None, "memory_mib": None}).detail == (
        "no CPU or memory limit"
    )
    quota = machine.limits_check({"cpus": 1.5, "memory_mib": 2048.0})
    assert (quota.status, quota.detail[:27]) == ("note", "1.5 CPUs, 2048 MiB of memor")


def test_open_files():
    assert machine.files_check(1024, 4096).fix == "ulimit -n 4096"
    assert machine.files_check(1024, resource.RLIM_INFINITY).fix == "ulimit -n 65536"
    assert machine.files_check(65536, 65536).status == "ok"
    assert machine.files_check(-1, -1).detail == "no limit"


def test_shared_memory_that_is_not_there(tmp_path):
    check = machine.shm_check(tmp_path / "shm")
    assert (check.status, "No such file" in check.detail) == ("missing", True)


@pytest.mark.parametrize("folder", ["/proc/self/fd", "file"])
def test_a_cache_that_cant_be_written_to_is_a_fault(folder, tmp_path):
    (tmp_path / "file").touch()
    check = machine.disk_check(tmp_path / folder / "inference-harness")
    assert (check.status, check.fix) == ("missing", "set XDG_CACHE_HOME to a folder of yours")
    assert "can't be written to" in check.detail
    assert not list((tmp_path / "file").parent.glob("*/*")), "nothing is left"


def test_shared_memory_is_written_to(tmp_path):
    assert machine.shm_check(tmp_path).status == "ok"
    assert not list(tmp_path.iterdir())
    assert machine.shm_check(Path("/proc")).status == "missing"


def test_room_is_measured_where_the_cache_would_be_made(tmp_path, monkeypatch):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize / 2**30
    check = machine.disk_check(tmp_path / "not" / "yet")
    assert abs(float(check.detail.split()[0]) - free) < 1
    monkeypatch.setattr(machine, "CACHE_GIB", free + 1)
    assert machine.disk_check(tmp_path).fix


def test_gpus():
    gpu = {
        "index": 1, "name": "NVIDIA H200", "memory_mib": 143771, "driver": "580.1", "cuda": "13.0",
    }  # fmt: skip
    (check,) = machine.gpu_checks([gpu], None)
    shown = "NVIDIA H200, 143771 MiB, driver 580.1, CUDA 13.0"
    assert (check.name, check.detail) == ("GPU 1", shown)
    other, cut = machine.gpu_checks([gpu | {"name": "NVIDIA L4"}, gpu | {"mig": True}], None)
    assert "; the NVIDIA L4 had never run with the harness" in other.detail
    assert cut.detail.startswith(f"{shown}; a MIG device had never run")
    (none,) = machine.gpu_checks([], "no driver")
    assert (none.status, "no driver" in none.detail) == ("note", True)


def test_pdf():
    assert machine.pdf_check({"version": "1", "pages": 1}).status == "ok"
    assert "pip install 'plutoprint" in machine.pdf_check("ImportError: libc").fix
