"""TensorRT engines from ONNX files: profiles, build options, and what came out, verified.

Building needs no GPU where TensorRT-RTX is told a compute capability; loading always does.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from harness.backends.tensorrt.library import Flavor, Messages, logger, sentence
from harness.errors import BackendError, UsageError
from harness.models.inputs import shape_of
from harness.models.tensors import TensorSpec

if TYPE_CHECKING:
    import tensorrt

Shape = tuple[int, ...]
BATCH = "batch"


T = TypeVar("T")


class Sizes(NamedTuple, Generic[T]):
    """Smallest, most likely and largest size; the engine is fastest at the middle one."""

    min: T
    opt: T
    max: T


Range = Sizes[int]
Shapes = Sizes[Shape]
"""The same three for a whole tensor."""
Profile = Mapping[str, Shapes]
"""Input name to its shapes."""


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Everything that changes the engine; part of the cache key."""

    precision: str = "fp32"
    """fp32, tf32, fp16 or bf16."""
    profiles: tuple[Profile, ...] = ()
    workspace: int | None = None
    """Bytes of scratch memory that a layer may use; None is TensorRT's default, the whole GPU."""
    optimization_level: int | None = None
    version_compatible: bool = False
    hardware_compatible: bool = False
    compute_capability: str = ""
    """TensorRT-RTX: the GPU to build for, e.g. `8.6`, or `current`; empty: its portable default."""
    tf32_override: str = ""
    """NVIDIA_TF32_OVERRIDE of the process that builds: TensorRT records it in the engine."""


@dataclass(frozen=True, slots=True)
class Built:
    """A serialised engine and what building it took."""

    plan: tensorrt.IHostMemory
    """Bytes-like."""
    seconds: float
    types: Mapping[str, int] = field(default_factory=dict)
    """Tensor types that the builder's own list of layers names; empty where it prints none."""
    timing_cache: bytes | None = None


# ------------------------------------------------------------------------------------- profiles


def make_profiles(
    inputs: Sequence[TensorSpec], batches: Sequence[Range], dynamic: Mapping[str, Range]
) -> tuple[Profile, ...]:
    """One profile for each range of batch sizes; none when no input has a dynamic dimension.

    Raises UsageError for a dynamic dimension without a size.
    """
    if not any(isinstance(d, str) for spec in inputs for d in spec.shape):
        return ()
    return tuple({spec.name: _shapes(spec, batch, dynamic) for spec in inputs} for batch in batches)


def _shapes(spec: TensorSpec, batch: Range, dynamic: Mapping[str, Range]) -> Shapes:
    low, middle, high = (
        shape_of(spec, size, {name: sizes[i] for name, sizes in dynamic.items()})
        for i, size in enumerate(batch)
    )
    return Shapes(low, middle, high)


def batch_ranges(
    batch_sizes: Iterable[int], *, each: bool = False, low: int | None = None,
    opt: int | None = None, high: int | None = None,
) -> tuple[Range, ...]:  # fmt: skip
    """The ranges of batch sizes that the engine must run.

    One range from the smallest to the largest, best at the largest, or, with `each`, one for every
    batch size by itself. Raises UsageError when a batch size would lie outside.
    """
    sizes = sorted(set(batch_sizes)) or [1]
    if each:
        return tuple(Range(n, n, n) for n in sizes)
    whole = Range(low or min(sizes[0], opt or sizes[0]), opt or high or sizes[-1],
                  high or max(sizes[-1], opt or 1))  # fmt: skip
    if not whole.min <= whole.opt <= whole.max:
        raise UsageError(f"profile: min ≤ opt ≤ max does not hold for {tuple(whole)}")
    outside = [n for n in sizes if not whole.min <= n <= whole.max]
    if outside:
        raise UsageError(
            f"profile: batch size {outside[0]} lies outside {whole.min} to {whole.max}",
            fix="widen backends[].profile or change load.batch_sizes",
        )
    return (whole,)


def profile_for(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> int | None:
    """The number of the first profile that these input shapes fit in; None when none does."""
    for index, profile in enumerate(profiles):
        if all(name in profile and _holds(profile[name], s) for name, s in shapes.items()):
            return index
    return None


def _holds(sizes: Shapes, shape: Shape) -> bool:
    bounds = zip(sizes.min, shape, sizes.max, strict=False)
    return len(shape) == len(sizes.min) and all(low <= n <= high for low, n, high in bounds)


# ---------------------------------------------------------------------------------------- build


def build(
    flavor: Flavor, onnx: Path, options: BuildOptions, messages: Messages,
    timing_cache: bytes | None = None,
) -> Built:  # fmt: skip
    """Parse the ONNX file and build an engine from it.

    `onnx` must already be in the precision when the flavour is strongly typed. Raises UsageError
    for an option that this flavour does not have, BackendError or OutOfMemoryError with
    TensorRT's own reason when parsing or building fails.
    """
    check_options(flavor, options)
    log = logger(flavor, messages)
    builder = _builder(flavor, log, messages)
    network = builder.create_network(_network_flags(flavor))
    parser = flavor.trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)):
        why = _refusal(parser.get_error(0)) if parser.num_errors else messages.why()
        raise BackendError(f"{flavor.title} can't read {onnx.name}: {why}")
    config = builder.create_builder_config()
    cache = _configure(flavor, builder, config, network, options, timing_cache)
    start = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    seconds = time.monotonic() - start
    if plan is None:
        raise messages.error(f"{flavor.title} could not build the engine")
    saved = bytes(cache.serialize()) if cache is not None else None
    return Built(plan, seconds, types_in_log(messages.layers), saved)


def _refusal(error: tensorrt.ParserError) -> str:
    """The node that a parser stops at, and why: of what it has no importer for it says `false`."""
    node = f"node {error.node_name()} ({error.node_operator()})" if error.node_operator() else ""
    kind = error.code().name.lower().replace("_", " ")
    return ": ".join(filter(None, [node, kind, sentence(str(error.desc())).removeprefix("false")]))


def _builder(flavor: Flavor, log: tensorrt.ILogger, messages: Messages) -> tensorrt.Builder:
    try:
        return flavor.trt.Builder(log)
    except Exception as error:  # without a driver, 10.x raises TypeError: factory returned nullptr
        messages.errors = messages.errors or [str(error)]
        raise messages.error(f"{flavor.title} can't start its builder") from error


def _network_flags(flavor: Flavor) -> int:
    strongly = getattr(flavor.trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flavor.weakly_typed or strongly is None else 1 << int(strongly)


def check_options(flavor: Flavor, options: BuildOptions) -> None:
    """Raise UsageError for the first option that this flavour does not have."""
    trt = flavor.trt
    has: dict[str, bool] = {
        "version_compatible": not flavor.rtx and hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"),
        "hardware_compatible": not flavor.rtx and hasattr(trt, "HardwareCompatibilityLevel"),
        "compute_capability": hasattr(trt, "ComputeCapability"),
    }
    for option, there in has.items():
        if getattr(options, option) and not there:
            raise UsageError(
                f"{flavor.title} has no {option.replace('_', ' ')} engines",
                fix=f"remove `{option}` from the backend",
            )
    if options.compute_capability:
        _capability(flavor, options.compute_capability)


def _capability(flavor: Flavor, text: str) -> tensorrt.ComputeCapability:
    known: Mapping[str, tensorrt.ComputeCapability] = flavor.trt.ComputeCapability.__members__
    name = "CURRENT" if text.lower() == "current" else f"SM{text.replace('.', '')}"
    if name not in known:
        offered = ", ".join(n for n in known if n.startswith("SM"))
        raise UsageError(f"{flavor.title} has no compute capability {text}; it has {offered}")
    return known[name]


def _configure(
    flavor: Flavor, builder: tensorrt.Builder, config: tensorrt.IBuilderConfig,
    network: tensorrt.INetworkDefinition, options: BuildOptions,
    timing_cache: bytes | None,
) -> tensorrt.ITimingCache | None:  # fmt: skip
    """Apply the options; the timing cache to save after the build, where the flavour has one."""
    trt = flavor.trt
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the inspector needs it
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    _precision_flags(flavor, config, options.precision)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.compute_capability:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(flavor, options.compute_capability), 0)
    _add_profiles(builder, config, network, options.profiles)
    if flavor.rtx or not hasattr(config, "create_timing_cache"):
        return None  # RTX compiles when it runs: its cache is the runtime cache
    cache = config.create_timing_cache(timing_cache or b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _precision_flags(flavor: Flavor, config: tensorrt.IBuilderConfig, precision: str) -> None:
    flags = flavor.trt.BuilderFlag
    if hasattr(flags, "TF32"):  # on by default
        (config.clear_flag if precision == "fp32" else config.set_flag)(flags.TF32)
    if flavor.weakly_typed and precision in ("fp16", "bf16", "int8"):
        if not hasattr(flags, precision.upper()):
            raise UsageError(f"{flavor.title} has no precision {precision}")
        config.set_flag(getattr(flags, precision.upper()))


def _add_profiles(
    builder: tensorrt.Builder,
    config: tensorrt.IBuilderConfig,
    network: tensorrt.INetworkDefinition,
    profiles: Sequence[Profile],
) -> None:
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    for tensor in inputs:
        if tensor.is_shape_tensor:
            raise BackendError(f"input {tensor.name} is a shape tensor, which is not supported")
    if all(n >= 0 for tensor in inputs for n in tuple(tensor.shape)):
        return
    for wanted in profiles:
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            if tensor.name not in wanted:
                raise BackendError(f"the ONNX file has an input '{tensor.name}' unknown so far")
            if any(n < 0 for n in tuple(tensor.shape)):
                profile.set_shape(tensor.name, *wanted[tensor.name])
        if config.add_optimization_profile(profile) < 0:
            raise BackendError(f"TensorRT refuses the profile {dict(wanted)}")


# --------------------------------------------------------------------------------------- inspect

_TYPES = (
    ("bf16", re.compile(r"bf16|bfloat16", re.I)),
    ("fp16", re.compile(r"fp16|half|float16", re.I)),
    ("fp8", re.compile(r"fp8", re.I)),
    ("fp4", re.compile(r"fp4", re.I)),
    ("fp32", re.compile(r"fp32|float", re.I)),
    ("int8", re.compile(r"int8", re.I)),
)
_TYPE_KEYS = ("Format/Datatype", "Datatype", "DataType")
_IN_LOG = re.compile(r"Outputs: \[(.*?)\](?:, (?:TacticName|LayerType|ParameterType)|$)", re.M)
_DATATYPE = re.compile(r"(?:Format/)?Data[tT]ype: ([A-Za-z0-9]+)")
FLOATS = frozenset({"bf16", "fp16", "fp8", "fp4", "fp32"})


def type_name(text: str) -> str:
    """`fp16` for `Half` or `Channel major FP16 format`, and so on; `other` for the rest."""
    return next((name for name, pattern in _TYPES if pattern.search(text)), "other")


def types_in_json(information: str) -> dict[str, int]:
    """How many layer outputs have which type, from the engine inspector's JSON.

    Reads the keys of 10.x (`Format/Datatype`) and of 11.x and RTX (`Datatype`). Empty where the
    engine was built without detailed verbosity, so that its layers are names only.
    """
    try:
        layers = json.loads(information).get("Layers", [])
    except (ValueError, AttributeError):
        return {}
    outputs = [o for layer in layers if isinstance(layer, dict) for o in layer.get("Outputs", [])]
    found = (next((o[k] for k in _TYPE_KEYS if k in o), None) for o in outputs)
    return dict(Counter(type_name(str(text)) for text in found if text))


def types_in_log(layers: str) -> dict[str, int]:
    """The same from the builder's list of layers, which needs no GPU."""
    outputs = _IN_LOG.findall(layers)
    return dict(Counter(type_name(t) for text in outputs for t in _DATATYPE.findall(text)))


def share(precision: str, types: Mapping[str, int]) -> float | None:
    """Part of the floating-point layer outputs that have the precision; None without any.

    tf32 is a way to multiply fp32 tensors, so it counts as fp32.
    """
    floats = sum(n for name, n in types.items() if name in FLOATS)
    if precision == "int8":  # what is around the quantized products may be in any type
        return None
    wanted = "fp32" if precision == "tf32" else precision
    return types.get(wanted, 0) / floats if floats else None


LEAST_SHARE = 0.5


def check_precision(precision: str, types: Mapping[str, int], title: str) -> float | None:
    """The share of layers in the precision that was asked for; None where it can't be known.

    Raises BackendError when fewer than half are: the engine silently stayed in another type.
    """
    part = share(precision, types)
    if part is not None and part < LEAST_SHARE:
        most = max((name for name in types if name in FLOATS), key=lambda name: types[name])
        raise BackendError(
            f"asked for {precision}, but {title} made an engine in {most}: {part:.0%} of its "
            f"layer outputs are {precision} ({dict(types)})",
            fix=f"ask for {most}, or give an ONNX file in {precision}",
        )
    return part


def inspect(flavor: Flavor, engine: tensorrt.ICudaEngine) -> dict[str, int]:
    """How many layer outputs of a loaded engine have which type."""
    inspector = engine.create_engine_inspector()
    text = inspector.get_engine_information(flavor.trt.LayerInformationFormat.JSON)
    return types_in_json(str(text))
