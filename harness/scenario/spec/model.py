"""What is measured: the `model` of a scenario."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from harness.scenario.rules import base as rule_base
from harness.scenario.rules import model as model_rules
from harness.scenario.spec.fields import (
    SOURCE_KINDS,
    DType,
    File,
    Model,
    ModuleCallable,
    Name,
    Numbers,
    Pair,
    Paths,
    PositiveInt,
    Seed,
    Shape,
    as_tuple,
)


class FakeSource(Model):
    """A model that is not there: for `kind: fake` backends."""


class Source(Model):
    """Where the model comes from: exactly one of torch, onnx, exported_program, engine, triton
    and fake. Paths are relative to the scenario file.
    """

    torch: ModuleCallable | None = Field(
        None, description="`module:callable` that returns a torch.nn.Module"
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict, description="arguments of that callable (torch only)"
    )
    seed: Seed = Field(0, description="seed for the weights that the callable draws (torch only)")
    weights: File | None = Field(
        None, description="state-dict file to load into the module (torch only)"
    )
    onnx: File | None = Field(None, description="path of an ONNX file")
    exported_program: File | None = Field(None, description="path written by torch.export.save")
    engine: File | None = Field(None, description="path of a TensorRT engine")
    triton: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="name of a model that lives on a Triton server already"
    )
    fake: FakeSource | None = Field(None, description="`{}`: no model, for `fake` backends")

    @property
    def kind(self) -> str:
        """Which of the keys is set."""
        return next(key for key in SOURCE_KINDS if getattr(self, key) is not None)

    def _broken(self) -> Iterable[rule_base.Broken]:
        return model_rules.source(self.model_dump())


class Files(Model):
    """Input data from files; each file is one or more samples without, or with, the batch axis."""

    files: Paths = Field(description=".npy, .npz or image files, relative to the scenario file")
    mean: Numbers | None = Field(None, description="per channel, for images")
    std: Numbers | None = Field(None, description="per channel, for images")

    def _broken(self) -> Iterable[rule_base.Broken]:
        return model_rules.files(self.model_dump())


def _data_kind(value: Any) -> str:
    return "files" if isinstance(value, dict | Files) else "word"


class Input(Model):
    """One input tensor of the model."""

    name: Annotated[str, Field(min_length=1)] = Field(description="as the model calls it")
    dtype: DType = Field("float32", description="type of the elements")
    shape: Shape = Field(
        description="sizes; `batch` is the batch dimension, other words are dynamic dimensions"
    )
    data: Annotated[
        Annotated[Literal["random", "zeros"], Tag("word")] | Annotated[Files, Tag("files")],
        Discriminator(_data_kind),
    ] = Field("random", description="random (seeded), zeros, or `{files: [...]}`")
    range: Pair | None = Field(
        None, description="bounds of random data [low, high); integers default to [0, 2)"
    )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return model_rules.input_(self.model_dump())


class Parity(Model):
    """Correctness before speed: how outputs are compared with the eager fp32 reference."""

    inputs: PositiveInt = Field(3, description="distinct inputs per batch size")
    max_abs_error: float | None = Field(None, gt=0, description="overrides the precision's")
    max_rel_error: float | None = Field(None, gt=0, description="overrides the precision's")
    on_mismatch: Literal["skip", "measure"] = Field(
        "skip", description="what to do with a backend that disagrees"
    )


class ModelSpec(Model):
    """What is measured."""

    name: Name = Field(description="the model's name in tables and on the server")
    source: Source = Field(description="where it comes from")
    inputs: Annotated[
        tuple[Input, ...],
        BeforeValidator(as_tuple, json_schema_input_type=list[Input] | Input),
    ] = Field(default=(), description="may be left out for onnx, engine, triton and fake sources")
    dynamic: dict[str, PositiveInt] = Field(
        default_factory=dict, description="sizes of the dynamic dimensions other than batch"
    )
    parity: Parity = Field(
        default_factory=Parity, description="how outputs are compared before timing"
    )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return model_rules.model_(self.model_dump())
