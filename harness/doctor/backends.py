"""Which backends can run here."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread

from harness.scenario.spec.backend import BackendSettings, all_settings
from harness.system.check import Check


def backend_checks(gpu: bool) -> list[Check]:
    """What each kind's settings check, on a machine with a GPU or without; all side by side.

    A signal ends the waiting at once: a pool would wait for a package that hangs first.
    """
    found = [(settings, Future[list[Check]]()) for settings in all_settings().values()]
    for one in found:
        Thread(target=_ask, args=(*one, gpu), daemon=True).start()
    return [check for _, checks in found for check in checks.result()]


def _ask(settings: type[BackendSettings], checks: Future[list[Check]], gpu: bool) -> None:
    try:
        checks.set_result(settings.checks(gpu))
    except BaseException as error:
        checks.set_exception(error)
