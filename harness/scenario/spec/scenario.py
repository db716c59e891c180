"""The scenario: what people write, as frozen, strict pydantic models.

`Scenario.model_validate` wants plain Python data; `harness.scenario.reading.loader.load` reads a
YAML file and turns every mistake into a `Problem` with its position. Defaults are filled in here
and in the modules beside and nowhere else, so `Scenario.model_dump(mode="json")` is the scenario
*as resolved* and reads back as itself. What must hold between keys stands in
`harness.scenario.rules`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from harness.scenario.rules import base as rule_base
from harness.scenario.rules import load as load_rules
from harness.scenario.rules import scenario as rules
from harness.scenario.spec.backend import (
    AnyBackend,
    BackendSettings,
    FakeSettings,
    OnnxRuntimeSettings,
    TensorRtProfile,
    TensorRtSettings,
    TorchSettings,
    TritonSettings,
)
from harness.scenario.spec.colocated import Batching, ColocatedLoad, ColocatedModel, OtherModel
from harness.scenario.spec.constraints import Bound, Constraints, Objective, Weights
from harness.scenario.spec.fields import (
    BATCH,
    SOURCE_KINDS,
    Dimension,
    Model,
    Name,
    PositiveInt,
    as_tuple,
)
from harness.scenario.spec.load import FindCapacity, Load, Measurement, Ramp, Step, Targets
from harness.scenario.spec.model import Files, Input, ModelSpec, Parity, Source
from harness.scenario.spec.server import DockerSettings, Server, TelemetrySource, TlsSettings
from harness.scenario.units import PositiveDuration

__all__ = [
    "BATCH",
    "SOURCE_KINDS",
    "AnyBackend",
    "BackendSettings",
    "Batching",
    "Bound",
    "ColocatedLoad",
    "ColocatedModel",
    "Constraints",
    "Dimension",
    "DockerSettings",
    "FakeSettings",
    "Files",
    "FindCapacity",
    "Input",
    "Load",
    "Measurement",
    "ModelSpec",
    "OnnxRuntimeSettings",
    "OtherModel",
    "Parity",
    "Ramp",
    "Scenario",
    "Search",
    "Server",
    "Source",
    "Step",
    "Targets",
    "TelemetrySource",
    "TensorRtProfile",
    "TensorRtSettings",
    "TlsSettings",
    "TorchSettings",
    "TritonSettings",
    "Weights",
]  # fmt: skip


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
    trials: PositiveInt | None = Field(
        None, description="bayesian: configs of a backend that are tried; default 20"
    )
    top: PositiveInt | None = Field(
        None,
        description="quick and bayesian: best configs that are measured in further rounds, "
        "beside the default one; default 3",
    )
    rounds_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        10,
        description="rounds are added, up to this many in all, for points that may still be the "
        "best",
    )
    indifference: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="points whose objectives differ by no more than this share need not be told "
        "apart; of those the cheapest in memory is recommended",
    )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return load_rules.search(self.model_dump())


def _search(value: Any) -> Any:
    return {"method": value} if isinstance(value, str) else value


def _allow_x_keys(schema: dict[str, Any]) -> None:
    schema["patternProperties"] = {"^x-": {"description": "ignored: a place for YAML anchors"}}


class Scenario(Model):
    """One scenario file. Top-level keys that begin with `x-` are ignored: a place for anchors."""

    model_config = ConfigDict(json_schema_extra=_allow_x_keys)

    scenario: Name = Field(description="the scenario's name")
    description: str = Field("", description="a sentence for the report")
    model: ModelSpec = Field(description="what is measured")
    backends: Annotated[
        tuple[AnyBackend, ...],
        Field(min_length=1),
        BeforeValidator(
            as_tuple,
            json_schema_input_type=Annotated[list[AnyBackend], Field(min_length=1)] | AnyBackend,
        ),
    ] = Field(description="the ways to run it that are compared")
    load: Load = Field(default_factory=Load, description="what is asked of each backend")
    measurement: Measurement = Field(
        default_factory=lambda: Measurement.model_validate({}),
        description="how each point is measured",
    )
    constraints: Constraints = Field(
        default_factory=Constraints, description="what a point must hold to be a candidate"
    )
    objective: Objective = Field(
        "throughput",
        description="what the best point is best at, under the constraints: one metric, "
        "`{metric: weight, …}`, or a list of metrics for their Pareto front",
    )
    search: Annotated[
        Search,
        BeforeValidator(
            _search,
            json_schema_input_type=Search | Literal["grid", "halving", "quick", "bayesian"],
        ),
    ] = Field(
        default_factory=lambda: Search.model_validate({}),
        description="how the configs of Triton backends that hold lists are chosen: a method, or "
        "a mapping",
    )

    @property
    def budget(self) -> float | None:
        """Seconds after which nothing more is begun; None without a limit."""
        return self.search.budget or self.measurement.budget

    @model_validator(mode="before")
    @classmethod
    def _drop_x(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {k: v for k, v in data.items() if not str(k).startswith("x-")}
        return data

    @field_validator("backends")
    @classmethod
    def _names(cls, backends: tuple[AnyBackend, ...]) -> tuple[AnyBackend, ...]:
        return tuple(
            b if b.name else b.model_copy(update={"name": b.default_name}) for b in backends
        )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return rules.scenario(self.model_dump())
