import os
import subprocess

import pytest

from harness.system.machine import probe_gpus

pytestmark = pytest.mark.gpu


def test_the_gpus_are_those_that_nvidia_smi_shows():
    fields = "index,name,uuid,memory.total,driver_version,compute_cap"
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    keys = ("index", "name", "uuid", "memory_mib", "driver", "compute_capability")
    found = [", ".join(str(gpu[key]) for key in keys) for gpu in probe_gpus()[0]]
    every = shown.strip().splitlines()
    assert found == [every[int(str(gpu["index"]))] for gpu in probe_gpus()[0]]
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        assert found == every


def test_the_cuda_version_is_a_version():
    assert all(float(gpu["cuda"]) >= 11 for gpu in probe_gpus()[0])
