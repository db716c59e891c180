"""Everything the doctor looks at, in one go."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from harness.doctor.backends import backend_checks
from harness.doctor.lanes import lane_checks
from harness.doctor.machine import machine_checks
from harness.scenario.spec.backend import packages
from harness.system.check import Check
from harness.system.machine import describe_machine, package_versions, probe_gpus
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder


@dataclass(frozen=True, slots=True)
class Findings:
    """What this machine can run and what it is."""

    checks: Sequence[Check]
    facts: Mapping[str, object]

    @property
    def able(self) -> list[str]:
        """The real backends that can measure here."""
        return [check.name for check in self.checks if check.runs]

    def to_json(self) -> dict[str, object]:
        """Checks and facts as JSON-able values; `ok` when a real backend can run."""
        checks = [asdict(check) for check in self.checks]
        return {"ok": bool(self.able), "checks": checks, **self.facts}


def examine() -> Findings:
    """Look at this machine; takes seconds, since every runtime is imported in a process of its own.

    The load average is read first: the probes add to it.
    """
    load = os.getloadavg()[0]
    machine, (gpus, no_gpu) = describe_machine(), probe_gpus()
    with temporary_folder():  # runtimes may leave things there, above all when they are killed
        checks = [
            *backend_checks(bool(gpus)),
            *machine_checks(machine, no_gpu, load, cache_directory()),
            *lane_checks(machine["cpu"]["usable"]),
        ]
    return Findings(checks, {"machine": machine, "packages": package_versions(packages())})
