"""How Triton serves a model, and the co-located models: `colocated`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationInfo, field_validator

from harness.errors import did_you_mean
from harness.scenario.metrics import METRICS
from harness.scenario.rules.base import Broken, remove, repeated
from harness.scenario.spec import fields as of
from harness.scenario.spec.constraints import Constraints
from harness.scenario.spec.fields import Model
from harness.scenario.spec.load import Arrivals
from harness.scenario.spec.model import ModelSpec
from harness.scenario.units import Duration
from harness.scenario.wording import nearest

SHARED = {m.name: m.shared for m in METRICS.values() if m.shared}
"""Metrics of all models together, not of one that is co-located: metric → why."""
MODEL_CONFIG_FIELDS = (
    "platform", "backend", "runtime", "version_policy", "max_batch_size", "input", "output",
    "batch_input", "batch_output", "optimization", "dynamic_batching", "sequence_batching",
    "ensemble_scheduling", "instance_group", "default_model_filename", "cc_model_filenames",
    "metric_tags", "parameters", "model_warmup", "model_operations", "model_transaction_policy",
    "model_repository_agents", "response_cache", "model_metrics",
)  # fmt: skip
"""Fields of Triton's ModelConfig message, but for the name, which the harness gives."""
_OWN_KEYS = {"instance_group": "instances", "max_batch_size": "max_batch_size",
             "dynamic_batching": "dynamic_batching"}  # fmt: skip
"""Fields of ModelConfig that have a key of the backend's own."""


class Batching(Model):
    """Settings of Triton's dynamic batcher, which joins requests that wait into one batch."""

    preferred: of.BatchSizes | None = Field(
        None, description="batch sizes that it sends on at once; default: any, up to the largest"
    )
    queue_delay: Duration | None = Field(
        None, description="how long a request may wait for others to join it; default: not at all"
    )


BatchingChoice = Annotated[
    Annotated[bool, Tag("one")] | Annotated[Batching, Tag("settings")], Discriminator(of.shape_of)
]
BatchingChoices = Annotated[
    Annotated[bool, Tag("one")] | Annotated[Batching, Tag("settings")] | of.Several[BatchingChoice],
    Discriminator(of.shape_of),
    BeforeValidator(of.only),
]
ModelConfigFields = dict[str, Any]
ModelConfigChoices = of.OneOrSeveral[ModelConfigFields]


class OtherModel(ModelSpec):
    """A model that is served beside the one that the scenario measures."""

    name: of.Name = Field("", validate_default=False, description="default: the name beside it")


class ColocatedLoad(Arrivals):
    """What is asked of a co-located model, from before the warm-up until after the window."""

    batch_size: of.PositiveInt = Field(1, description="items in one request")
    concurrency: of.Caller | None = Field(
        None, description="closed loop: callers that each wait for their answer"
    )
    request_rate: of.Rate | None = Field(None, description="open loop: requests a second")

    def _broken(self) -> Iterator[Broken]:
        keys = ("concurrency", "request_rate")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) == 1:
            yield from super()._broken()
        else:
            found = " and ".join(given) or "none"
            yield Broken((), f"needs exactly one of concurrency and request_rate; found {found}",
                         lacks=() if given else keys)  # fmt: skip


class ColocatedModel(Model):
    """Another model on the same server; its own throughput and latency are in every point."""

    name: of.Name = Field(description="its name in tables and on the server")
    model: OtherModel | None = Field(
        None,
        description="what it is; left out for a model of that name in your `repository`, or on a "
        "server that already runs",
    )
    serve: Literal["onnxruntime", "torch", "tensorrt"] | None = Field(
        None, description="default: as the backend's"
    )
    device: of.Device | None = Field(None, description="default: the backend's")
    precision: of.FilePrecision = Field(
        "fp32",
        description="of weights and arithmetic; tf32 on cuda only; int8 or bf16 of an ONNX file "
        "that is so: here it is not read from the file",
    )
    threads: of.Threads | None = Field(None, description="intra-op threads of an instance")
    instances: of.Instances | None = Field(None, description="as the backend's; a list is searched")
    max_batch_size: of.OneOrMore | None = Field(
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

    def _broken(self) -> Iterator[Broken]:
        yield from broken_choices(self)
        for word, size in self.spec.dynamic.items():
            if isinstance(size, tuple):
                message = f"'{word}' has one size here: those of the measured model are what varies"
                yield Broken(("model", "dynamic", word), message)
        size, limits = self.load.batch_size, self.max_batch_size
        for limit in limits if isinstance(limits, tuple) else (limits or size,):
            if limit < size:
                message = f"{limit} is less than the batch of its load, {size}"
                yield Broken(("max_batch_size",), message)
        for metric, why in SHARED.items():
            if getattr(self.constraints, metric) is not None:
                message = f"{why}; write it in the scenario's `constraints`"
                yield Broken(("constraints", metric), message, on_key=True)


CHOICES = ("instances", "max_batch_size", "dynamic_batching", "config")
"""Settings of any model on a server that may hold lists."""


def broken_choices(item: Model) -> Iterator[Broken]:
    """Rules of `CHOICES`: no value twice, and in `config` only fields that Triton has."""
    for key in CHOICES:
        yield from repeated(key, getattr(item, key))
    config = getattr(item, "config")  # noqa: B009 - of a backend or a co-located model
    if not isinstance(config, tuple):
        yield from _broken_fields(config, item, ("config",))
        return
    for index, fields in enumerate(config):
        yield from _broken_fields(fields, item, ("config", index))


def _broken_fields(
    fields: ModelConfigFields, item: Model, loc: tuple[str | int, ...]
) -> Iterator[Broken]:
    """Each field is one of ModelConfig, and is said in one place only."""
    for key in fields:
        if key == "name":
            yield remove(key, "the harness names the model", *loc)
        elif key not in MODEL_CONFIG_FIELDS:
            hint = did_you_mean(nearest(key, MODEL_CONFIG_FIELDS))
            yield Broken((*loc, key), f"config.pbtxt has no such field{hint}", on_key=True)
        elif (own := _OWN_KEYS.get(key)) and getattr(item, own) is not None:
            message = f"is set by `{own}` already; keep one of the two"
            yield Broken((*loc, key), message, on_key=True)
