"""The manifest: everything a reader needs to know about the conditions of a run."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import RunDirectoryError
from harness.results.calibration import read_calibration
from harness.results.store import SCHEMA_VERSION
from harness.scenario.spec.backend import packages
from harness.scenario.spec.scenario import Scenario
from harness.system.machine import describe_machine, git_state, package_versions
from harness.system.paths import PACKAGE
from harness.version import __version__


def utc_now() -> str:
    """Now, ISO 8601, UTC, in seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def make_manifest(
    scenario: Scenario, text: str, path: Path, overrides: list[str]
) -> dict[str, Any]:
    """The manifest of a new run."""
    machine = describe_machine()
    return {
        "schema_version": SCHEMA_VERSION,
        "harness_version": __version__,
        "created": utc_now(),
        "command": ["harness", *sys.argv[1:]],
        "scenario_path": str(path),
        "scenario_folder": str(path.resolve().parent),
        "overrides": overrides,
        "scenario_text": text,
        "scenario": scenario.model_dump(mode="json"),
        "seeds": {
            "order": scenario.measurement.seed, "inputs": 0, "weights": scenario.model.source.seed,
        },
        "git": git_state(path.parent),
        "harness_git": git_state(PACKAGE),
        "machine": machine,
        "packages": package_versions(packages()),
        "calibration": read_calibration(machine),
    }  # fmt: skip


def check_resumable(manifest: Mapping[str, Any], scenario: Scenario) -> None:
    """Refuse to mix measurements of different scenarios, machines or package versions.

    Raises RunDirectoryError that names the first few differences.
    """
    now = {
        "scenario": scenario.model_dump(mode="json"),
        "machine": _hardware(describe_machine()),
        "packages": package_versions(packages()),
    }
    then = {
        "scenario": manifest.get("scenario"),
        "machine": _hardware(manifest.get("machine") or {}),
        "packages": manifest.get("packages"),
    }
    changes = list(differences(then, now))
    if changes:
        more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
        raise RunDirectoryError(
            "the run can't be resumed, it would mix conditions: " + "; ".join(changes[:3]) + more,
            fix="start a new run, without --resume",
        )


def _hardware(machine: Mapping[str, Any]) -> dict[str, Any]:
    cpu = machine.get("cpu") or {}
    gpus = [{k: g.get(k) for k in ("name", "uuid", "driver")} for g in machine.get("gpus") or []]
    return {"cpu": {k: cpu.get(k) for k in ("model", "cores")}, "gpus": gpus}


def _says(value: Any) -> bool:
    """Whether a value, or any in it, is more than nothing."""
    return any(map(_says, value.values())) if isinstance(value, Mapping) else bool(value)


def differences(then: Any, now: Any, path: str = "") -> list[str]:
    """Where two JSON-like values differ, as `path was X, is Y`."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        added = (k for k in now if k not in then and _says(now[k]))  # of a later version
        keys = [*then, *added]
        return [d for k in keys for d in differences(then.get(k), now.get(k), f"{path}.{k}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{path}[{i}]")]
    return [] if then == now else [f"{path.lstrip('.')} was {then!r}, is {now!r}"]
