"""Run directories of earlier versions, brought to the words of this one while they are read.

Nothing on disk is changed. The versions of the format (`schema_version` in the manifest):

    1  co-located models were `beside`: a key of the scenario and of rows' details, and in the flag
       `beside_invalid`
    2  they are `colocated`; a GPU at its power cap was `throttled`
    3  it is at its `power_cap`, which is no fault
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import RunDirectoryError

SCHEMA_VERSION = 3
Json = Mapping[str, object]
_OLD, _NEW = "beside", "colocated"
_KEY_IN_YAML = re.compile(r"(?m)(^[ \t]*(?:- +)?|[{,]\s*)beside(\s*:)")
_KEY_IN_OVERRIDE = re.compile(r"(?<=\.)beside(?=[.\[=])")


def version_of(path: Path, manifest: Json) -> int:
    """The version of a manifest's format. Raises RunDirectoryError for a newer one than ours."""
    version = manifest.get("schema_version", 1)
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        by = manifest.get("harness_version")
        raise RunDirectoryError(
            f"{path} has version {version} of the format, and this harness knows versions up to "
            f"{SCHEMA_VERSION}",
            fix=f"install the harness that wrote it{f', {by}' if by else ''}, or a newer one",
        )
    return version


_SEARCH = {"confirm": 3}
"""Keys of a search that earlier versions didn't have, as they are where they are not written."""


def upgrade_manifest(manifest: Json) -> dict[str, object]:
    """A manifest of an earlier version as this version would have written it."""
    new = dict(manifest)
    scenario = manifest.get("scenario")
    if isinstance(scenario, Mapping) and isinstance(scenario.get("backends"), Sequence):
        upgraded = {**scenario, "backends": [_renamed(b) for b in scenario["backends"]]}
        if isinstance(search := scenario.get("search"), Mapping):
            upgraded["search"] = {**_SEARCH, **search}
        new["scenario"] = upgraded
    if isinstance(text := manifest.get("scenario_text"), str):
        new["scenario_text"] = _KEY_IN_YAML.sub(rf"\1{_NEW}\2", text)
    if isinstance(overrides := manifest.get("overrides"), Sequence):
        new["overrides"] = [_KEY_IN_OVERRIDE.sub(_NEW, str(text)) for text in overrides]
    if "schema_version" in manifest:
        new["schema_version"] = SCHEMA_VERSION
    return new


def upgrade_event(event: Json) -> dict[str, object]:
    """A journal line of an earlier version, likewise."""
    new = dict(event)
    percent = event.get("cpu_percent")  # all there was before `cpu_cores`
    if "window_begin_ns" in event and isinstance(percent, int | float):
        new.setdefault("cpu_cores", percent / 100)
    details = _renamed(event.get("details"))
    findings = details.get("findings")
    known = findings if isinstance(findings, Mapping) else {}
    if isinstance(flags := event.get("flags"), Sequence):
        new["flags"] = [_flag(flag, known) for flag in flags]
    if isinstance(event.get("details"), Mapping):
        new["details"] = details
        if "findings" in details:
            details["findings"] = {_flag(flag, known): seen for flag, seen in known.items()}
        if "settings" in details:
            details["settings"] = _settings(details["settings"])
    return new


def _renamed(value: object) -> dict[str, object]:
    """The mapping with the old key under its new name, at the same place."""
    items = value.items() if isinstance(value, Mapping) else ()
    return {_NEW if key == _OLD else key: inner for key, inner in items}


def _settings(value: object) -> dict[str, object]:
    """What tells configs apart: of the measured model, and of each co-located one by name."""
    new = _renamed(value)
    if isinstance(others := new.get(_NEW), Mapping):
        new[_NEW] = {name: _settings(other) for name, other in others.items()}
    return new


def _flag(flag: object, findings: Json) -> str:
    """A flag by today's name, which for a throttled GPU depends on what was seen."""
    capped = flag == "throttled" and str(findings.get("throttled")).endswith(": power cap")
    if capped:
        return "power_cap"
    return "colocated_invalid" if flag == "beside_invalid" else str(flag)
