"""What `--devices` asks for on this machine: GPUs, MIG devices, or processors alone."""

from __future__ import annotations

import os
import re

from harness.errors import DeviceError
from harness.fleet import mig
from harness.fleet.devices import (
    Lane,
    check_servers,
    chosen,
    cores,
    cpu_lanes,
    gpu_lanes,
    near,
    numbers_in,
)
from harness.scenario.spec.scenario import Scenario
from harness.system.machine import probe_gpus


def lanes_of(text: str, scenario: Scenario) -> list[Lane]:
    """The lanes that `--devices` asks for, on this machine. Raises UsageError, DeviceError."""
    check_servers(scenario)
    usable = cores(os.sched_getaffinity(0))
    if found := re.fullmatch(r"cpus:(\d+)", text.strip()):
        return cpu_lanes(int(found[1]), scenario, usable)
    if "MIG-" not in text:
        numbers_in(text)  # what names no devices anywhere is said before what is there
    gpus, why_not = probe_gpus()
    if not gpus:
        raise DeviceError(f"--devices {text}: there is no GPU here ({why_not})",
                          fix="give cpus:N for lanes without a GPU")  # fmt: skip
    around = [near(g["uuid"]) for g in gpus]
    if mig.is_meant(text, gpus):
        return mig.lanes(text, gpus, scenario, around, usable, mig.instances)
    return gpu_lanes(chosen(text, gpus), gpus, scenario, around, usable)
