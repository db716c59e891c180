"""The scenario: what people write, as frozen, strict pydantic models.

`Scenario.model_validate` wants plain Python data; `harness.scenario.reading.loader.load` reads a
YAML file and turns every mistake into a `Problem` with its position. Defaults are filled in here
and in the modules beside and nowhere else, so `Scenario.model_dump(mode="json")` is the scenario
*as resolved* and reads back as itself. What must hold between the keys of a section stands in its
`_broken`, what must hold between sections in `_between`; see `harness.scenario.spec.fields.Model`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic import Field
from pydantic.config import JsonDict

from harness.scenario.kinds import import_path
from harness.scenario.rules.base import Broken, remove, repeated, twice, under
from harness.scenario.spec import fields as of
from harness.scenario.spec.backend import AnyBackend, BackendSettings
from harness.scenario.spec.colocated import CHOICES, ColocatedModel
from harness.scenario.spec.constraints import Constraints, Objective
from harness.scenario.spec.environment import Environment
from harness.scenario.spec.fields import Model
from harness.scenario.spec.load import Load, Measurement
from harness.scenario.spec.model import ModelSpec
from harness.scenario.spec.served import ServedSettings
from harness.scenario.units import PositiveDuration

if TYPE_CHECKING:
    Stress: TypeAlias = Any
    Sharing: TypeAlias = Any
else:  # the settings of a use stand in its own room, as a backend's beside it
    Stress = import_path("harness.swarm.settings:Stress")
    Sharing = import_path("harness.tenants.settings:Sharing")


class Search(Model):
    """How the configs of a Triton backend that holds lists are chosen. See docs/search.md."""

    method: Literal["grid", "halving", "quick", "bayesian"] = Field(
        "grid",
        description="grid measures all; halving drops what is clearly worse; quick climbs from "
        "neighbour to neighbour; bayesian lets Optuna propose",
    )
    budget: PositiveDuration | None = Field(
        None, description="the same as measurement.budget; write one of the two"
    )
    trials: of.PositiveInt | None = Field(
        None, description="bayesian: configs of a backend that are tried; default 20"
    )
    top: of.PositiveInt | None = Field(
        None,
        description="quick and bayesian: best configs that are measured in further rounds, "
        "beside the default one; default 3",
    )
    rounds_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        10,
        description="rounds are added, up to this many in all, for points that may still be the "
        "best",
    )
    confirm: Annotated[int, Field(ge=0, le=1000)] = Field(
        3,
        description="rounds that measure the recommended point, and the default config's best one, "
        "once more after the choice: the best of many looks better than it is, and these rounds "
        "take no part in choosing it. At least 2, for an interval; 0: none",
    )
    indifference: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="points whose objectives differ by no more than this share need not be told "
        "apart: of those, what needs clearly more latency, memory or cores is not recommended, and "
        "of the rest the cheapest in memory is",
    )

    def _broken(self) -> Iterator[Broken]:
        if self.trials is not None and self.method != "bayesian":
            yield remove("trials", f"goes with `method: bayesian`, not {self.method}")
        if self.top is not None and self.method not in ("quick", "bayesian"):
            yield remove("top", f"goes with `method: quick` or `bayesian`, not {self.method}")


def _search(value: object) -> object:
    return {"method": value} if isinstance(value, str) else value


SearchSettings = Annotated[
    Search,
    pydantic.BeforeValidator(
        _search, json_schema_input_type=Search | Literal["grid", "halving", "quick", "bayesian"]
    ),
]


def _allow_x_keys(schema: JsonDict) -> None:
    schema["patternProperties"] = {"^x-": {"description": "ignored: a place for YAML anchors"}}


class Scenario(Model):
    """One scenario file. Top-level keys that begin with `x-` are ignored: a place for anchors."""

    model_config = pydantic.ConfigDict(json_schema_extra=_allow_x_keys)

    scenario: of.Name = Field(description="the scenario's name")
    description: str = Field("", description="a sentence for the report")
    model: ModelSpec = Field(description="what is measured")
    environments: dict[of.Name, Environment] = Field(
        default_factory=dict,
        description="Pythons with packages of their own, by name, for versions that are compared",
    )
    backends: of.Some[AnyBackend] = Field(description="the ways to run it that are compared")
    load: Load = Field(default_factory=Load, description="what is asked of each backend")
    measurement: Measurement = Field(
        default_factory=lambda: Measurement.model_validate({}),
        description="how each point is measured",
    )
    constraints: Constraints = Field(
        default_factory=Constraints, description="what a point must hold to be a candidate"
    )
    gate: Literal["any", "each"] | None = Field(
        None,
        description="of which backends some point must hold the constraints, for the run to end "
        "with exit code 0: of `any` one (the default), or of `each`",
    )
    objective: Objective = Field(
        "throughput",
        description="what the best point is best at, under the constraints: one metric, "
        "`{metric: weight, …}`, or a list of metrics for their Pareto front",
    )
    price_per_gpu_hour: float | None = Field(
        None,
        gt=0,
        lt=1e6,
        description="what an hour of one GPU costs you, in any currency: the report then says the "
        "cost of a million inferences in money too",
    )
    search: SearchSettings = Field(
        default_factory=lambda: Search.model_validate({}),
        description="how the configs of Triton backends that hold lists are chosen: a method, or "
        "a mapping",
    )

    stress: Stress | None = Field(
        None, description="shapes of load and faults, for `harness stress`"
    )
    sharing: Sharing | None = Field(None, description="tenants of one device, for `harness share`")

    @property
    def budget(self) -> float | None:
        """Seconds after which nothing more is begun; None without a limit."""
        return self.search.budget or self.measurement.budget

    @pydantic.model_validator(mode="before")
    @classmethod
    def _drop_x(cls, data: object) -> object:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if not str(k).startswith("x-")}
        return data

    @pydantic.field_validator("backends")
    @classmethod
    def _names(cls, backends: tuple[AnyBackend, ...]) -> tuple[AnyBackend, ...]:
        return tuple(b if b.name else b.model_copy(update={"name": b.own_name}) for b in backends)

    def _broken(self) -> Iterator[Broken]:
        return _between(self)

    @classmethod
    def _broken_parts(cls, data: object) -> Iterator[Broken]:
        written = data if isinstance(data, dict) else {}
        parts = _Parts.model_validate(
            {key: written[key] for key in _Parts.model_fields if key in written},
            context=of.PARSE_ONLY,
        )
        return _between(parts)


def _or_none(data: object, handler: pydantic.ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(data)
    except pydantic.ValidationError:
        return None


OrNone = pydantic.WrapValidator(_or_none)
"""What can't be parsed is None."""


class _Parts(Model):
    """The sections that have rules between them, of a scenario that can't be parsed as a whole."""

    model: Annotated[ModelSpec | None, OrNone] = None
    environments: Annotated[dict[of.Name, Environment] | None, OrNone] = None
    backends: Annotated[of.Many[Annotated[AnyBackend | None, OrNone]] | None, OrNone] = None
    load: Annotated[Load | None, OrNone] = None
    measurement: Annotated[Measurement | None, OrNone] = None
    constraints: Annotated[Constraints | None, OrNone] = None
    gate: str | None = None
    objective: Annotated[Objective | None, OrNone] = None
    search: Annotated[SearchSettings | None, OrNone] = None
    stress: Annotated[Stress | None, OrNone] = None
    sharing: Annotated[Sharing | None, OrNone] = None


Backends = Sequence[BackendSettings | None]


def _between(sections: Scenario | _Parts) -> Iterator[Broken]:
    """What must hold between the sections, and between the backends.

    A section that could not be parsed is None and has no rules, but the others have, so that one
    run shows every mistake.
    """
    yield from repeated("objective", sections.objective)
    limits = [part.budget for part in (sections.search, sections.measurement) if part]
    if len(limits) == 2 and None not in limits:
        message = "measurement.budget is there already; keep one of the two"
        yield Broken(("search", "budget"), message, on_key=True)
    backends = sections.backends or ()
    yield from _names(backends)
    if sections.environments is not None:
        yield from _environments(backends, sections.environments)
    if sections.gate == "each" and sections.constraints and not sections.constraints.items():
        yield remove("gate", "goes with `constraints`, and there are none")
    yield from _one_inference(sections)
    model = sections.model if sections.model and len(sections.model.source.kinds) == 1 else None
    largest = max(sections.load.batch_sizes) if sections.load else 1
    for index, spec in enumerate(backends):
        if spec is not None and model is not None:
            yield from under(("backends", index), spec.fits(model, largest))
    yield from _colocated_alike(backends, isinstance(sections.objective, tuple))
    for word, size in model.dynamic.items() if model and sections.stress else ():
        if isinstance(size, tuple):
            message = "one size in a scenario with `stress`, whose requests are all alike"
            yield Broken(("model", "dynamic", word), message)
    if sections.stress and backends:
        yield from under(("stress",), sections.stress.fits(backends))
    if sections.sharing and backends:
        yield from under(("sharing",), sections.sharing.fits(backends))
    if sections.search and backends and not any(map(_searched, backends)):
        why = "goes with a Triton backend that holds lists, and here none does"
        yield from under(("search",), sections.search.idle(why, "method", "rounds_max"))


def _one_inference(sections: Scenario | _Parts) -> Iterator[Broken]:
    """What a model without a batch can't have."""
    if sections.model is None or sections.model.batch != "none":
        return
    why = "`batch: none` says that a request is one inference"
    if sections.load and sections.load.batch_sizes != (1,):
        yield Broken(("load", "batch_sizes"), f"must be [1]: {why}")
    for index, spec in enumerate(sections.backends or ()):
        if isinstance(spec, ServedSettings) and spec.serve and spec.dynamic_batching:
            yield remove("dynamic_batching", why, "backends", index)


def _searched(spec: BackendSettings | None) -> bool:
    """Whether an entry may stand for several configs; one that can't be parsed may."""
    if not isinstance(spec, ServedSettings):
        return spec is None
    settings = [getattr(s, key) for s in (spec, *spec.colocated) for key in CHOICES]
    return any(isinstance(value, tuple) for value in (*settings, *spec.env.values()))


def _names(backends: Backends) -> Iterator[Broken]:
    names = [spec and spec.own_name for spec in backends]
    for index, name in twice(names):
        first = names.index(name)
        message = f"has the same name as backends[{first}], '{name}'; give each its own `name`"
        yield Broken(("backends", index), message, lacks=("name",))


def _environments(backends: Backends, known: Collection[str]) -> Iterator[Broken]:
    """What a backend names is there, and its worker can be started in it."""
    for index, spec in enumerate(backends):
        if spec is None or not spec.environment:
            continue
        if spec.remote:
            why = "goes with a backend that runs in its worker; a server has packages of its own"
            yield remove("environment", why, "backends", index)
        elif spec.environment not in known:
            message = f"'{spec.environment}' is none of `environments`"
            yield Broken(("backends", index, "environment"), message)


def _colocated_alike(backends: Backends, several: bool) -> Iterator[Broken]:
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
