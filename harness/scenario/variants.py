"""The configs of a backend: what the lists of a Triton backend stand for, and their names.

    instances: [1, 2]             i1 i2
    max_batch_size: [4, 8]        mb4 mb8
    dynamic_batching: [false, true, {preferred: [4, 8], queue_delay: 500us}]
                                  (nothing), dyn, dyn-p4.8-500us
    config: [{…}, {…}]            cfg1 cfg2
    env: {OMP_NUM_THREADS: [1]}   OMP_NUM_THREADS-1
    colocated: {name: detector, instances: [1, 2]}
                                  detector.i1 detector.i2

A name holds only what varies: `i2-mb4-dyn`. The first config is `default`: what would be served if
no list were written. It is always measured, and a variant that is the same as it is left out.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.colocated import Batching, ColocatedModel
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.units import format_duration

DEFAULT_CONFIG = "default"
"""The name of a backend's only config, and of the one that nothing was changed in."""
LONGEST_NAME = 80
COLOCATED = "colocated."
"""What the keys of the axes of a co-located model begin with: `colocated.detector.instances`."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies: the key, its values in order, and how a name says each."""

    key: str
    values: tuple[object, ...]
    labels: tuple[str, ...]
    ordered: bool
    """Whether neighbours in the list are neighbours in what they do: numbers, sorted."""


@dataclass(frozen=True, slots=True)
class Config:
    """One config of a backend: its settings, and its place on each axis."""

    name: str
    spec: ServedSettings
    place: tuple[int, ...] | None
    """The index of its value on each of `axes`; None for a default that is not among them."""


def variants(spec: ServedSettings, largest_batch: int | None = None) -> dict[str, ServedSettings]:
    """Config name → the same backend with single values; `default` comes first.

    `largest_batch` is the largest of the scenario's batch sizes, which `default` serves where
    `max_batch_size` is a list: with it, the variant that says the same is left out.
    """
    return {c.name: c.spec for c in grid(spec, largest_batch)}


def configs(scenario: Scenario) -> dict[str, dict[str, AnyBackend]]:
    """Backend name → config name → the backend with single values, in the order written."""
    largest = max(scenario.load.batch_sizes)
    return {
        b.name: dict(variants(b, largest)) if isinstance(b, ServedSettings) else {DEFAULT_CONFIG: b}
        for b in scenario.backends
    }


def axes(spec: ServedSettings) -> tuple[Axis, ...]:
    """What varies, in the order of the names; numbers are sorted."""
    return tuple(_axes(spec))


def grid(spec: ServedSettings, largest_batch: int | None = None) -> list[Config]:
    """Every config with its place on the axes, `default` first."""
    found = axes(spec)
    default = _with(spec, [(axis.key, None) for axis in found])
    if not found:
        return [Config(DEFAULT_CONFIG, default, ())]
    places = itertools.product(*(range(len(axis.values)) for axis in found))
    rest = []
    for place in places:
        chosen = [(axis.key, axis.values[i]) for axis, i in zip(found, place, strict=True)]
        labels = (axis.labels[i] for axis, i in zip(found, place, strict=True))
        name = "-".join(filter(None, labels)) or "nodyn"
        rest.append(Config(name, _with(spec, chosen), place))
    same = next((c for c in rest if _same(c.spec, default, largest_batch)), None)
    first = Config(DEFAULT_CONFIG, default, same.place if same else None)
    return [first, *_unique(c for c in rest if c is not same)]


def _axes(spec: ServedSettings) -> Iterator[Axis]:
    for key, prefix in (("instances", "i"), ("max_batch_size", "mb")):
        values = getattr(spec, key)
        if isinstance(values, tuple):
            values = tuple(sorted(values))
            yield Axis(key, values, tuple(f"{prefix}{v}" for v in values), ordered=True)
    if isinstance(spec.dynamic_batching, tuple):
        labels = tuple(map(_batching_label, spec.dynamic_batching))
        yield Axis("dynamic_batching", spec.dynamic_batching, labels, ordered=False)
    if isinstance(spec.config, tuple):
        labels = tuple(f"cfg{n}" for n in range(1, len(spec.config) + 1))
        yield Axis("config", spec.config, labels, ordered=False)
    for name, values in spec.env.items():
        if isinstance(values, tuple):
            yield _environment_axis(name, values)
    for other in spec.colocated:
        for axis in _axes(spec.alone(other)):
            labels = tuple(label and f"{other.name}.{label}" for label in axis.labels)
            yield replace(axis, key=f"{COLOCATED}{other.name}.{axis.key}", labels=labels)


def _environment_axis(name: str, values: tuple[str, ...]) -> Axis:
    numbers = all(re.fullmatch(r"[0-9]+", v) for v in values)
    values = tuple(sorted(values, key=int)) if numbers else values
    return Axis(f"env.{name}", values, tuple(f"{name}-{_plain(v)}" for v in values), numbers)


def _batching_label(value: bool | Batching) -> str:
    if isinstance(value, bool):
        return "dyn" if value else ""
    sizes = f"p{'.'.join(map(str, value.preferred))}" if value.preferred else ""
    delay = "" if value.queue_delay is None else format_duration(value.queue_delay)
    return "-".join(filter(None, ("dyn", sizes, delay)))


def _plain(text: str) -> str:
    """The text in characters that a name may have."""
    return re.sub(r"[^A-Za-z0-9_.+]", "_", text)


def _with(spec: ServedSettings, chosen: Sequence[tuple[str, object]]) -> ServedSettings:
    """`spec` with these values instead of its lists; None takes a key back to its default."""
    changes: dict[str, object] = {}
    env: dict[str, object] = dict(spec.env)
    others = spec.colocated
    for key, value in chosen:
        if key.startswith(COLOCATED):
            others = _colocated_with(others, key, value)
        elif key.startswith("env."):
            env.pop(key[4:])
            env |= {} if value is None else {key[4:]: value}
        else:
            changes[key] = {} if key == "config" and value is None else value
    return spec.model_copy(update={**changes, "colocated": others, "env": env})


def _colocated_with(
    others: tuple[ColocatedModel, ...], key: str, value: object
) -> tuple[ColocatedModel, ...]:
    """The co-located models with one key, `colocated.NAME.KEY`, of one of them set."""
    name, _, own = key.removeprefix(COLOCATED).rpartition(".")
    value = {} if own == "config" and value is None else value
    return tuple(
        o.model_copy(update={own: value}) if o.name == name else o for o in others
    )  # fmt: skip


def _same(spec: ServedSettings, default: ServedSettings, largest: int | None) -> bool:
    """Whether a variant serves what `default` does; unknown for a model that has its own config."""
    if spec.server.repository is not None:
        return spec == default
    return _effective(spec, largest) == _effective(default, largest)


def _effective(spec: ServedSettings, largest: int | None) -> tuple[object, ...]:
    size = spec.max_batch or largest
    others = tuple(_effective(spec.alone(other), other.load.batch_size) for other in spec.colocated)
    return (
        spec.instance_count, size, spec.batching, spec.config_fields, spec.variables, others,
    )  # fmt: skip


def _unique(found: Iterable[Config]) -> Iterator[Config]:
    """With names that are short enough and differ: odd values of variables may look the same."""
    taken = {DEFAULT_CONFIG}
    for number, config in enumerate(found, 1):
        name = config.name
        if len(name) > LONGEST_NAME or name in taken or not name[0].isalnum():
            name = f"{name[: LONGEST_NAME - 8]}-{number}".lstrip("-_.+")
        taken.add(name)
        yield Config(name, config.spec, config.place)


def settings(spec: ServedSettings, largest_batch: int) -> dict[str, object]:
    """What tells configs apart, as facts for a report: instances, max batch, batching, the rest."""
    own = spec.server.repository is not None
    found: dict[str, object] = {
        "instances": spec.instances if own else spec.instance_count,
        "max_batch_size": spec.max_batch or (None if own else largest_batch),
        "dynamic_batching": None if spec.dynamic_batching is None and own else _shown(spec),
    }
    found |= {"config": spec.config_fields} if spec.config_fields else {}
    found |= {"env": spec.variables} if spec.env else {}
    others = {o.name: settings(_alone(spec, o), o.load.batch_size) for o in spec.colocated}
    return found | ({"colocated": others} if others else {})


def _alone(spec: ServedSettings, other: ColocatedModel) -> ServedSettings:
    """A co-located model without the server's environment, which is not its own."""
    return spec.alone(other).model_copy(update={"env": {}})


def _shown(spec: ServedSettings) -> object:
    found = spec.batching
    if found is None:
        return False
    return found.model_dump(mode="json", exclude_none=True) or True
