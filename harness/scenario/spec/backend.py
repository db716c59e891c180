"""The `backends` of a scenario: what every kind has, and how an entry finds its own settings.

The settings of a kind stand beside its implementation; `harness.scenario.kinds` knows where.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, get_args

import pydantic
from pydantic import Field, GetCoreSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from harness.errors import UsageError
from harness.scenario import kinds
from harness.scenario.rules.base import Broken, any_of, with_article
from harness.scenario.spec.fields import PARSE_ONLY, AsItIs, Model, Name
from harness.scenario.spec.limits import Limits
from harness.scenario.spec.model import ModelSpec
from harness.system.check import Check

IN_TORCH = ("torch", "exported_program")
IN_ONNX = (*IN_TORCH, "onnx")
"""Sources of a model that PyTorch runs, and those that can be had as an ONNX file."""

CallersIn = Literal["streams", "threads"]
"""How the concurrent callers of a backend in this process are driven."""


class BackendSettings(Model):
    """What every backend has; the ClassVars and properties are what the harness asks of a kind."""

    sources: ClassVar[tuple[str, ...]] = ()
    """Sources of a model that it can run, exported if need be."""
    start_seconds: ClassVar[float] = 5.0
    """Allowance for one start, for estimates: process, imports, loading, the server if any."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions the manifest records."""
    for_gpu: ClassVar[str] = "device: cuda"
    """The setting that makes it run on a GPU."""
    remote: ClassVar[bool] = False
    """Whether the load generator runs outside the process that runs the model."""
    parts: ClassVar[Mapping[str, type[pydantic.BaseModel]]] = {}
    """Parts of the settings that the reference shows in tables of their own, by title."""
    worker_needs: ClassVar[tuple[str, ...]] = ("numpy>=1.26", "pydantic>=2.10")
    """What an environment has beside the packages that it names: a worker imports it."""

    name: Name = Field("", validate_default=False, description="default: made from the settings")
    io: Literal["host", "device"] = Field(
        "host", description="what the clock includes: host = both copies, device = neither"
    )
    environment: Name | None = Field(
        None,
        description="one of `environments`, whose Python runs it; default: the harness's own",
    )
    limits: Limits = Field(
        default_factory=Limits, description="memory that its processes may hold; default: no limit"
    )
    kind: str = Field(description="which backend; the other keys depend on it")

    @property
    def own_name(self) -> str:
        """As written, or made from the settings and the environment."""
        parts = (self.default_name, self.environment, self.limits.tag)
        return self.name or "-".join(part for part in parts if part)

    @property
    def default_name(self) -> str:
        """The name used when none is written."""
        return self.kind

    @property
    def label(self) -> str:
        """The settings in words, for tables and reports."""
        return self.name

    @property
    def mode(self) -> str:
        """Precision, and whether graphs are replayed: a part of names."""
        graphs = "-graphs" if getattr(self, "cuda_graphs", False) else ""
        return f"{getattr(self, 'precision', 'fp32')}{graphs}"

    @property
    def less_launching(self) -> str:
        """What to write where launching holds the GPU back; empty where nothing is left."""
        keys = [k for k in ("cuda_graphs", "compile") if getattr(self, k, True) is False]
        return f"{keys[0]}: true" if keys else ""

    @property
    def on_gpu(self) -> bool:
        """Whether the model runs on a GPU."""
        return getattr(self, "device", "cpu") != "cpu"

    @property
    def formats(self) -> frozenset[str]:
        """Which of `harness.models.prepare.FORMATS` it needs of the prepared model."""
        return frozenset()

    @classmethod
    def checks(cls, gpu: bool) -> list[Check]:
        """Lines of `harness doctor`: what can run here, on a machine with a GPU or without."""
        return []

    def _broken(self) -> Iterator[Broken]:
        yield from tf32_on_gpu(self)
        if self.limits.gpu_memory is not None and not self.on_gpu:
            message = f"a limit of GPU memory needs a GPU; write `{self.for_gpu}`"
            yield Broken(("limits", "gpu_memory"), message)

    def fits(self, model: ModelSpec, largest: int) -> Iterator[Broken]:
        """Rules between the settings and the model, which is asked for batches up to `largest`."""
        kind = model.source.kind
        if kind not in self.sources:
            who, can = f"{with_article(self.kind)} backend", any_of(self.sources)
            message = f"{who} can't run a model from `{kind}`; it needs {can}"
            yield Broken(("kind",), message)
        wanted = getattr(self, "precision", "fp32")
        alone = self.kind == "onnxruntime"  # what a server runs has a rule of its own
        if kind not in IN_ONNX and wanted in get_args(AsItIs):
            message = f"{wanted} is here for a model that is {wanted}, from {any_of(IN_ONNX)}"
            yield Broken(("precision",), message)
        if kind != "onnx" and wanted == "bf16" and alone:
            message = "bf16 is here for an ONNX file that is bf16; use fp32 or fp16"
            yield Broken(("precision",), message)


def tf32_on_gpu(spec: BackendSettings) -> Iterator[Broken]:
    """TF32 is a mode of a GPU's arithmetic."""
    if getattr(spec, "precision", "fp32") == "tf32" and not spec.on_gpu:
        message = f"tf32 exists on a GPU only; use fp32, or `{spec.for_gpu}`"
        yield Broken(("precision",), message)


def formats_of_engine(precision: str) -> frozenset[str]:
    """What an engine is built from: 10.x needs no converted file, but only its builder knows."""
    return frozenset({"onnx"} | ({f"onnx_{precision}"} & {"onnx_fp16", "onnx_bf16"}))


def settings_of(kind: str) -> type[BackendSettings]:
    """The settings of a registered kind. Raises UsageError."""
    found = kinds.import_path(kinds.SETTINGS[kind])
    if not (isinstance(found, type) and issubclass(found, BackendSettings)):
        raise UsageError(f"{kinds.SETTINGS[kind]} is no subclass of BackendSettings")
    return found


def all_settings() -> dict[str, type[BackendSettings]]:
    """Kind → its settings, of every registered kind. Raises UsageError."""
    return {kind: settings_of(kind) for kind in kinds.SETTINGS}


def packages() -> list[str]:
    """Distributions that the registered kinds run on: the manifest records their versions."""
    return [name for settings in all_settings().values() for name in settings.packages]


class _ByKind:
    """Settings of the class that is registered for their `kind`, whenever that was."""

    def __get_pydantic_core_schema__(self, _: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(_parse)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(_adapter(tuple(kinds.SETTINGS.items())).core_schema)


AnyBackend = Annotated[BackendSettings, _ByKind()]


@functools.lru_cache(maxsize=4)
def _adapter(_: tuple[tuple[str, str], ...]) -> TypeAdapter[BackendSettings]:
    """The union of all kinds' settings, made anew when another kind is registered."""
    union = functools.reduce(operator.or_, all_settings().values())
    return TypeAdapter(Annotated[union, Field(discriminator="kind")])  # type: ignore[arg-type]


def _parse(data: object, info: pydantic.ValidationInfo) -> BackendSettings:
    return parse_backend(data, info.context)


def parse_backend(data: object, context: object = None) -> BackendSettings:
    """One entry of `backends`, from plain data. Raises pydantic's ValidationError."""
    adapter = _adapter(tuple(kinds.SETTINGS.items()))
    return adapter.validate_python(data, context=context)


def parse_name(data: object) -> str | None:
    """The name of an entry, as written or made; None where it can't be parsed."""
    try:
        spec = parse_backend(data, PARSE_ONLY)
    except ValidationError:
        return None
    return spec.own_name
