"""Types of single values in a scenario, and the base of its parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeVar, get_args

import pydantic
from pydantic import BaseModel, BeforeValidator, Field, Tag, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, core_schema

from harness.scenario.rules import base as rule_base

BATCH = rule_base.BATCH
"""The name of the batch dimension in an input's shape."""
SOURCE_KINDS = rule_base.SOURCE_KINDS


def as_tuple(value: object) -> tuple[object, ...] | None:
    """Let one value stand for a list of one, and a YAML list for a tuple."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return None if value is None else (value,)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A tuple that is written as a list, or as one value for a list of one.

    `alone` says whether editors are told of the latter, `least` how many there must be.
    """

    least: int = 0
    alone: bool = True

    def __get_pydantic_core_schema__(
        self, source: object, handler: pydantic.GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        item = handler.generate_schema(get_args(source)[0])
        written: core_schema.CoreSchema = core_schema.list_schema(
            item, min_length=self.least or None
        )
        return core_schema.no_info_before_validator_function(
            as_tuple, handler(source),
            json_schema_input_schema=core_schema.union_schema([written, item])
            if self.alone else written,
        )  # fmt: skip


T = TypeVar("T")
Many = Annotated[tuple[T, ...], _Listed()]
Some = Annotated[tuple[T, ...], Field(min_length=1), _Listed(least=1)]
Several = Annotated[tuple[T, ...], Field(min_length=1), _Listed(alone=False), Tag("several")]


def _pair(value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("expected two numbers, [low, high]")
    return tuple(value)


def _dimension(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        from harness.scenario.wording import describe as words

        raise ValueError(  # noqa: TRY004 - pydantic collects ValueErrors only
            f"expected a size, or a word like {BATCH}, found {words(value)}"
        )
    if isinstance(value, int) and not 0 < value < 2**31:
        raise ValueError(f"a size must be from 1 to 2147483647; for the batch write `{BATCH}`")
    if isinstance(value, str) and not rule_base.WORD.fullmatch(value):
        raise ValueError(f"'{value}' is no size, and no word made of letters, digits and _")
    return value


PARSE_ONLY = "parse only"
"""A validation context: types and words are checked, rules are not."""


def _as_error(broken: rule_base.Broken, data: object) -> InitErrorDetails:
    where = ".".join(map(str, broken.loc))
    text = f"{where}: {broken.message}" if where else broken.message
    kind = PydanticCustomError("rule", "{text}", {"text": text, "broken": broken})
    return {"type": kind, "loc": (), "input": data}


def _again(error: ErrorDetails) -> InitErrorDetails:
    """An error that was caught, to be raised with others."""
    context = error.get("ctx", {})
    custom = error["type"] == "rule"
    kind = PydanticCustomError("rule", "{text}", context) if custom else error["type"]
    return {"type": kind, "loc": error["loc"], "input": error["input"], "ctx": context}


def _one_batch(
    value: object, handler: pydantic.ValidatorFunctionWrapHandler, info: ValidationInfo
) -> object:
    """A shape has at most one batch dimension: said beside what is wrong with its sizes."""
    errors: list[InitErrorDetails] = []
    shape = None
    try:
        shape = handler(value)
    except ValidationError as error:
        errors = [_again(e) for e in error.errors(include_url=False)]
    sizes = as_tuple(value) if isinstance(value, list | tuple | str | int) else None
    if sizes and sizes.count(BATCH) > 1 and info.context != PARSE_ONLY:
        message = f"[{', '.join(map(str, sizes))}] has more than one batch dimension"
        message += "; write one, like [batch, 3, 224, 224]"
        errors.append(_as_error(rule_base.Broken((), message), value))
    if errors:
        raise ValidationError.from_exception_data("shape", errors)
    return shape


@dataclass(frozen=True, slots=True)
class PathTo:
    """Marks a path: relative to the scenario file, and something of that kind must be there."""

    kind: Literal["file", "directory"]


PositiveInt = Annotated[int, Field(gt=0, le=10**9)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
ModuleCallable = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
File = Annotated[str, Field(min_length=1), PathTo("file")]
Folder = Annotated[str, Field(min_length=1), PathTo("directory")]
_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST_PORT = rf"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):{_PORT}"
Address = Annotated[str, Field(pattern=rf"^{_HOST_PORT}$")]
MetricsUrl = Annotated[str, Field(pattern=rf"^(https?://)?{_HOST_PORT}(/[^\s?#@]*)?$")]
DEVICE = re.compile(r"^(cpu|cuda(:[0-9]+)?|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+)$")
Device = Annotated[str, Field(pattern=DEVICE.pattern)]
DType = Literal[
    "float32", "float16", "float64", "bfloat16", "int64", "int32", "int16", "int8",
    "uint64", "uint32", "uint16", "uint8", "bool", "string",
]  # fmt: skip
Precision = Literal["fp32", "tf32", "fp16", "bf16"]
AsItIs = Literal["fp64", "fp8", "int8", "int4"]
"""Of a model that is so: nothing is converted to it."""
FilePrecision = Literal["fp32", "tf32", "fp16", "bf16", "fp64", "fp8", "int8", "int4"]
"""Of what may run a model as it is."""
Threads = Annotated[int, Field(gt=0, le=1024)]  # with 100,000 of them a runtime hangs or crashes
Caller = Annotated[int, Field(gt=0, le=65_535)]  # samples keep the caller's number in 16 bits

Dimension = Annotated[
    int | str, BeforeValidator(_dimension, json_schema_input_type=PositiveInt | str)
]
Shape = Annotated[
    Many[Dimension], pydantic.WrapValidator(_one_batch, json_schema_input_type=Many[Dimension])
]
Pair = Annotated[tuple[float, float], BeforeValidator(_pair)]
Numbers = Many[float]
Words = Many[str]
Paths = Some[File]
BatchSizes = Some[PositiveInt]
Callers = Some[Caller]


def only(value: object) -> object:
    """A list of one stands for its value: it varies nothing."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def shape_of(value: object) -> str:
    """The tag of a value that may be one, a mapping of settings, or several of them."""
    if isinstance(value, list | tuple):
        return "several"
    return "settings" if isinstance(value, dict | BaseModel) else "one"


def _environment_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("put it in quotes: an environment variable is text")  # noqa: TRY004
    return str(value) if isinstance(value, int | float) else value


OneOrSeveral = Annotated[
    Annotated[T, Tag("one")] | Several[T],
    pydantic.Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
    BeforeValidator(only),
]
"""A value, or a list of values that are tried one after another."""
OneOrMore = OneOrSeveral[PositiveInt]
Instances = OneOrSeveral[Annotated[int, Field(gt=0, le=256)]]
"""Of a model on a server: each may be a process with a runtime of its own."""
EnvironmentText = Annotated[
    str, BeforeValidator(_environment_value, json_schema_input_type=str | float)
]
EnvironmentValue = OneOrSeveral[EnvironmentText]
PositiveFloat = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, le=1_000_000)]
Rates = Some[Rate]


class Model(BaseModel):
    """Base of every part of the scenario: frozen, strict, no unknown keys.

    A part is parsed, then its rules are checked; one that can't be parsed has no rules. All broken
    rules of all parts are in one ValidationError, as errors of the type `rule`.
    """

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", strict=True, protected_namespaces=(), allow_inf_nan=False,
        defer_build=True,  # a worker needs few of them: half a second of its start
    )  # fmt: skip

    def _broken(self) -> Iterable[rule_base.Broken]:
        return ()

    def idle(self, why: str, *keys: str) -> Iterator[rule_base.Broken]:
        """Keys that have no effect here, where they hold another value than their default.

        The default itself is no mistake: it stands in every scenario as resolved.
        """
        for key in keys:
            default = type(self).model_fields[key].get_default(call_default_factory=True)
            if getattr(self, key) not in (default, None):
                yield rule_base.remove(key, why)

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _parse_then_check(
        cls,
        data: object,
        handler: pydantic.ModelWrapValidatorHandler[Self],
        info: ValidationInfo,
    ) -> Self:
        errors: list[InitErrorDetails] = []
        try:
            parsed: Self | None = handler(data)
        except ValidationError as error:
            if info.context == PARSE_ONLY:
                raise
            errors, parsed = [_again(e) for e in error.errors(include_url=False)], None
            if all(isinstance(e["type"], PydanticCustomError) for e in errors):
                parsed = cls.model_validate(data, context=PARSE_ONLY)
        if parsed is not None and isinstance(data, Mapping):
            parsed.model_fields_set.intersection_update(data)  # what was written, not filled in
        if info.context != PARSE_ONLY:
            broken = cls._broken_parts(data) if parsed is None else parsed._broken()
            errors += [_as_error(b, data) for b in broken]
        if errors or parsed is None:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return parsed

    @classmethod
    def _broken_parts(cls, data: object) -> Iterable[rule_base.Broken]:
        """Rules of what could be parsed, where the whole could not."""
        return ()
