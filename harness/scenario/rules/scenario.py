"""What must hold between the sections of a scenario, and between its backends.

The sections are parsed. One that could not be is None and has no rules, but the others have, so
that one run shows every mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from harness.scenario.rules.base import Broken, remove, repeated, twice, under
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.colocated import ColocatedModel
from harness.scenario.spec.load import Load, Measurement
from harness.scenario.spec.model import ModelSpec
from harness.scenario.spec.served import ServedSettings


class Budgeted(Protocol):
    """What may have a budget: the search."""

    @property
    def budget(self) -> float | None:
        """In seconds."""


class Sections(Protocol):
    """The parsed sections that have rules between them: a scenario's, or what there is of one."""

    @property
    def model(self) -> ModelSpec | None: ...  # noqa: D102
    @property
    def backends(self) -> Sequence[BackendSettings | None]: ...  # noqa: D102
    @property
    def load(self) -> Load | None: ...  # noqa: D102
    @property
    def measurement(self) -> Measurement | None: ...  # noqa: D102
    @property
    def objective(self) -> object: ...  # noqa: D102
    @property
    def search(self) -> Budgeted | None: ...  # noqa: D102


def between(sections: Sections) -> Iterator[Broken]:
    """Every rule."""
    yield from repeated("objective", sections.objective)
    limits = [part.budget for part in (sections.search, sections.measurement) if part]
    if len(limits) == 2 and None not in limits:
        message = "measurement.budget is there already; keep one of the two"
        yield Broken(("search", "budget"), message, on_key=True)
    yield from _names(sections.backends)
    model = sections.model if sections.model and len(sections.model.source.kinds) == 1 else None
    largest = max(sections.load.batch_sizes) if sections.load else 1
    for index, spec in enumerate(sections.backends):
        if spec is not None and model is not None:
            yield from under(("backends", index), spec.fits(model, largest))
    yield from _colocated_alike(sections.backends, isinstance(sections.objective, tuple))


def _names(backends: Sequence[BackendSettings | None]) -> Iterator[Broken]:
    names = [spec and (spec.name or spec.default_name) for spec in backends]
    for index, name in twice(names):
        first = names.index(name)
        message = f"has the same name as backends[{first}], '{name}'; give each its own `name`"
        yield Broken(("backends", index), message, lacks=("name",))


def _colocated_alike(backends: Sequence[BackendSettings | None], several: bool) -> Iterator[Broken]:
    """Points are compared by what the co-located models do: those of a name must want the same.

    `several` objectives have no place for the weight of a co-located model.
    """
    first: dict[str, ColocatedModel] = {}
    for index, spec in enumerate(backends):
        for number, other in enumerate(spec.colocated if isinstance(spec, ServedSettings) else ()):
            loc = ("backends", index, "colocated", number)
            known = first.setdefault(other.name, other)
            for key in ("constraints", "weight"):
                if getattr(known, key) != getattr(other, key):
                    message = f"of '{other.name}' is not what another backend says; "
                    yield Broken((*loc, key), message + "points are compared by it")
            if other.weight and several:
                yield remove("weight", "goes with an objective of one value, not with a list", *loc)
