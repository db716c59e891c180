"""Which backends can run here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from harness.scenario.spec.backend import all_settings
from harness.system.check import Check


def backend_checks(gpu: bool) -> list[Check]:
    """What each kind's settings check, on a machine with a GPU or without; all side by side."""
    settings = all_settings().values()
    with ThreadPoolExecutor(len(settings)) as pool:
        return [check for found in pool.map(lambda s: s.checks(gpu), settings) for check in found]
