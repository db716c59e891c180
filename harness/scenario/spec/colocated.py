"""How Triton serves a model, and the co-located models: `colocated`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from harness.scenario.rules import base as rule_base
from harness.scenario.rules import colocated as colocated_rules
from harness.scenario.spec.constraints import Constraints
from harness.scenario.spec.fields import (
    BatchSizes,
    Caller,
    Device,
    Model,
    Name,
    OneOrMore,
    PositiveFloat,
    PositiveInt,
    Precision,
    Rate,
    as_tuple,
    only,
    shape_of,
)
from harness.scenario.spec.model import ModelSpec
from harness.scenario.units import Duration


class Batching(Model):
    """Settings of Triton's dynamic batcher, which joins requests that wait into one batch."""

    preferred: BatchSizes | None = Field(
        None, description="batch sizes that it sends on at once; default: any, up to the largest"
    )
    queue_delay: Duration | None = Field(
        None, description="how long a request may wait for others to join it; default: not at all"
    )


BatchingChoice = Annotated[
    Annotated[bool, Tag("one")] | Annotated[Batching, Tag("settings")], Discriminator(shape_of)
]
BatchingChoices = Annotated[
    Annotated[bool, Tag("one")]
    | Annotated[Batching, Tag("settings")]
    | Annotated[
        tuple[BatchingChoice, ...],
        Field(min_length=1),
        BeforeValidator(as_tuple, json_schema_input_type=list[BatchingChoice]),
        Tag("several"),
    ],
    Discriminator(shape_of),
    BeforeValidator(only),
]
ModelConfigFields = dict[str, Any]
ModelConfigChoices = Annotated[
    Annotated[ModelConfigFields, Tag("settings")]
    | Annotated[
        tuple[ModelConfigFields, ...],
        Field(min_length=1),
        BeforeValidator(as_tuple, json_schema_input_type=list[ModelConfigFields]),
        Tag("several"),
    ],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "settings"),
    BeforeValidator(only),
]


class OtherModel(ModelSpec):
    """A model that is served beside the one that the scenario measures."""

    name: Name = Field("", validate_default=False, description="default: the name beside it")


class ColocatedLoad(Model):
    """What is asked of a co-located model, from before the warm-up until after the window."""

    batch_size: PositiveInt = Field(1, description="items in one request")
    concurrency: Caller | None = Field(
        None, description="closed loop: callers that each wait for their answer"
    )
    request_rate: Rate | None = Field(None, description="open loop: requests a second")
    arrivals: Literal["constant", "poisson", "gamma"] = Field(
        "poisson", description="open loop: how arrivals are spaced"
    )
    cv: PositiveFloat = Field(1.0, description="gamma arrivals: coefficient of variation")
    max_outstanding: Caller = Field(256, description="open loop: requests that may be open at once")
    overload: Literal["wait", "shed"] = Field(
        "wait", description="open loop: what is due while all are open waits, or is shed"
    )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return colocated_rules.colocated_load(self.model_dump())


class ColocatedModel(Model):
    """Another model on the same server; its own throughput and latency are in every point."""

    name: Name = Field(description="its name in tables and on the server")
    model: OtherModel | None = Field(
        None,
        description="what it is; left out for a model of that name in your `repository`, or on a "
        "server that already runs",
    )
    serve: Literal["onnxruntime", "torch", "tensorrt"] | None = Field(
        None, description="default: as the backend's"
    )
    device: Device | None = Field(None, description="default: the backend's")
    precision: Precision = Field("fp32", description="of weights and arithmetic; tf32 on cuda only")
    threads: PositiveInt | None = Field(None, description="intra-op threads of an instance")
    instances: OneOrMore | None = Field(None, description="as the backend's; a list is searched")
    max_batch_size: OneOrMore | None = Field(
        None, description="a list is searched; default: the batch size of its load"
    )
    dynamic_batching: BatchingChoices | None = Field(
        None, description="as the backend's; a list is searched"
    )
    config: ModelConfigChoices = Field(
        default_factory=dict, description="as the backend's; a list is searched"
    )
    load: ColocatedLoad = Field(description="what is asked of it meanwhile")
    constraints: Constraints = Field(
        default_factory=lambda: Constraints.model_validate({}),
        description="what it must hold in a point, for the point to be a candidate",
    )
    weight: float = Field(
        0.0, ge=0,
        description="of its throughput in the objective, beside 1 for the measured model's; at 0 "
        "its constraints alone count",
    )  # fmt: skip

    @property
    def spec(self) -> ModelSpec:
        """The model; one that is on the server already is known by its name alone."""
        return self.model or OtherModel.model_validate(
            {"name": self.name, "source": {"triton": self.name}}
        )

    @field_validator("model")
    @classmethod
    def _named(cls, model: OtherModel | None, info: ValidationInfo) -> OtherModel | None:
        if model is None or model.name or "name" not in info.data:
            return model
        return model.model_copy(update={"name": info.data["name"]})

    def _broken(self) -> Iterable[rule_base.Broken]:
        return colocated_rules.colocated(self.model_dump())
