"""Whether two sides may be compared at all, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.compare.side import CONDITIONS, Outputs, Side, by_name
from harness.results.manifest import differences

MATTERS = ("precision", "io", "cuda_graphs", "device", "threads", "provider", "callers", "compile")
"""Settings that are to be equal unless they are what is compared; said where they are not."""
WORSE_OUTPUTS = 10.0
"""How many times further from the reference outputs may be before that is a drift."""


def refusals(base: Side, candidate: Side) -> list[str]:
    """Why two stored runs are not comparable: other hardware, clocks or conditions."""
    found = [f"the machine differs: {d}" for d in differences(base.machine, candidate.machine)]
    for part in CONDITIONS:
        changed = differences(base.conditions.get(part), candidate.conditions.get(part), part)
        found += [f"the scenario differs: {d}" for d in changed]
    if not set(base.points) & set(candidate.points):
        found.append("they have no point in common")
    return found


def changed(base: Side, candidate: Side) -> dict[str, tuple[str, str]]:
    """Versions and settings that are not the same; what one side lacks is empty."""
    pairs: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "": (by_name(base.versions), by_name(candidate.versions)),
        "setting ": (base.settings, candidate.settings),
        "GPU ": ({"driver": base.driver}, {"driver": candidate.driver}),
    }
    return {
        f"{title}{key}": (str(one.get(key, "")), str(other.get(key, "")))
        for title, (one, other) in pairs.items()
        for key in sorted({*one, *other})
        if one.get(key) != other.get(key)
    }


def unequal(base: Side, candidate: Side) -> list[str]:
    """What could not be held equal, in words."""
    found = [
        f"{key}: {_setting(a)} against {_setting(b)}"
        for key in MATTERS
        if (a := base.settings.get(key) or None) != (b := candidate.settings.get(key) or None)
    ]
    if base.machine.get("governor") not in (None, "performance"):
        found.append(f"the CPU's governor is {base.machine['governor']}: its clock may wander")
    found += [
        f"every round of {side.name} was disturbed from outside: {busy}"
        for side in (base, candidate)
        if (busy := ", ".join(p for p, point in side.points.items() if point.disturbed))
    ]
    return found


def _setting(value: object) -> str:
    """A backend that has no such setting, and one whose setting is off, are the same."""
    return "not set" if value is None else str(value)


def output_drift(base: Side, candidate: Side) -> str:
    """Where the candidate's outputs disagree with the reference and the base's agree."""
    return "; ".join(
        f"{batch}: the candidate's outputs disagree with the reference: {after.message}"
        for batch, before, after in _both(base, candidate)
        if after.status == "disagrees" and before.status == "agrees"
    )


def outputs_said(base: Side, candidate: Side) -> list[str]:
    """How far both were from the same reference, a sentence a batch size."""
    return [
        f"{batch}: off from the reference by up to {_error(before)} (base) and {_error(after)} "
        f"(candidate); allowed: {after.tolerance}"
        + (", much further than before" * _further(before, after))
        for batch, before, after in _both(base, candidate)
    ]


def _both(base: Side, candidate: Side) -> Iterator[tuple[str, Outputs, Outputs]]:
    for batch, after in candidate.outputs.items():
        before = base.outputs.get(batch)
        if before is not None and "unavailable" not in (before.status, after.status):
            yield f"batch {batch.removeprefix('b')}", before, after


def _error(outputs: Outputs) -> str:
    return "n/a" if outputs.max_abs_error is None else f"{outputs.max_abs_error:.2g}"


def _further(before: Outputs, after: Outputs) -> bool:
    """Far beyond the base's error, where that is more than a rounding of zero."""
    if before.max_abs_error is None or after.max_abs_error is None:
        return False
    return 0 < WORSE_OUTPUTS * before.max_abs_error < after.max_abs_error
