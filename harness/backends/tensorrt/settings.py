"""What a scenario says of TensorRT, and what the harness must know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from harness.scenario.rules.base import Broken
from harness.scenario.spec import backend as base
from harness.scenario.spec.fields import Device, FilePrecision, Model, PositiveInt, as_tuple
from harness.scenario.spec.model import ModelSpec
from harness.scenario.units import Size
from harness.system.check import BACKENDS, MISSING, NOTE, OK, Answer, Check, not_importable, probe
from harness.system.packages import install_command
from harness.system.untried import noted, of_flavor

PROBE = """
import importlib, json
try:
    import tensorrt as trt
except ModuleNotFoundError:
    import tensorrt_rtx as trt
memory, why_not = None, []
for library, module in (("pycuda", "pycuda.driver"), ("cuda-python", "cuda.bindings.runtime")):
    try:
        importlib.import_module(module)
        memory = library
        break
    except ImportError as error:
        why_not.append(f"{library}: {error}")
print(json.dumps({"version": trt.__version__, "name": trt.__name__, "memory": memory,
                  "why_not": "; ".join(why_not)}))
"""


_OF_BUILDING = ("workspace", "optimization_level", "profile", "hardware_compatible",
                "compute_capability", "rebuild")  # fmt: skip


class TensorRtProfile(Model):
    """Sizes that the engine must run; it is fastest at `opt`."""

    each: bool = Field(False, description="one profile for every batch size, best at that size")
    min: PositiveInt | None = Field(None, description="batch size; default: the smallest")
    opt: PositiveInt | None = Field(None, description="batch size; default: the largest")
    max: PositiveInt | None = Field(None, description="batch size; default: the largest")
    dynamic: dict[
        str,
        Annotated[
            tuple[PositiveInt, PositiveInt, PositiveInt],
            BeforeValidator(as_tuple, json_schema_input_type=list[PositiveInt]),
        ],
    ] = Field(default_factory=dict, description="[min, opt, max] of other dynamic dimensions")

    def _broken(self) -> Iterator[Broken]:
        sizes = [size for size in (self.min, self.opt, self.max) if size is not None]
        if self.each and sizes:
            yield Broken((), "give `each`, or min, opt and max, not both")
        if sizes != sorted(sizes):
            yield Broken((), "min ≤ opt ≤ max must hold")
        for word, three in self.dynamic.items():
            if list(three) != sorted(three):
                yield Broken(("dynamic", word), "write [min, opt, max], smallest first")


class TensorRtSettings(base.BackendSettings):
    """TensorRT in this process: an engine that is built from ONNX, or one that you have."""

    sources: ClassVar = (*base.IN_ONNX, "engine")
    start_seconds: ClassVar = 10.0
    packages: ClassVar = (
        "tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13",
        "tensorrt-rtx-cu12-libs", "tensorrt-rtx-cu13-libs", "cuda-python", "cuda-bindings",
        "pycuda",
    )  # fmt: skip
    worker_needs: ClassVar = (*base.BackendSettings.worker_needs, "cuda-python")
    parts: ClassVar = {"profile (tensorrt)": TensorRtProfile}

    kind: Literal["tensorrt"] = Field(description="which backend; the other keys depend on it")
    flavor: Literal["auto", "tensorrt", "tensorrt-rtx"] = Field(
        "auto", description="which TensorRT; auto takes the first that is installed"
    )
    device: Device = Field("cuda", description="cuda, cuda:N, or a GPU's or MIG device's UUID")
    precision: FilePrecision = Field(
        "fp32", description="of the engine; checked in what was built; int8 of a file that is so"
    )
    workspace: Size | None = Field(
        None, description="scratch memory a layer may use; default: TensorRT's, all there is"
    )
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="0 builds fastest, 5 searches longest; default: TensorRT's, 3"
    )
    profile: TensorRtProfile = Field(
        default_factory=TensorRtProfile, description="sizes that the engine must run"
    )
    rebuild: bool = Field(
        False,
        description="build the engine anew in each round, with nothing from the cache: what a "
        "builder chooses differs, and versions are compared by at least five builds each",
    )
    cuda_graphs: bool = Field(False, description="capture the computation and replay it")
    callers: base.CallersIn = Field("streams", description="one thread for all, or one each")
    version_compatible: bool = Field(
        False, description="an engine that newer versions of TensorRT can load"
    )
    hardware_compatible: bool = Field(False, description="an engine for Ampere and newer GPUs")
    compute_capability: Annotated[str, Field(pattern=r"^(current|[0-9]+\.[0-9])$")] | None = Field(
        None, description="TensorRT-RTX: GPU to build for; default: its portable engine"
    )

    @property
    def default_name(self) -> str:
        """By flavor, precision and whether graphs are replayed."""
        threads = "-threads" if self.callers == "threads" else ""
        return f"{'tensorrt' if self.flavor == 'auto' else self.flavor}-{self.mode}{threads}"

    @property
    def formats(self) -> frozenset[str]:
        """What an engine of that precision is built from."""
        return base.formats_of_engine(self.precision)

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        if self.device == "cpu":
            yield Broken(("device",), "TensorRT runs on a GPU; write `device: cuda`")
        if self.flavor == "tensorrt":
            yield from self.idle("goes with `flavor: tensorrt-rtx`", "compute_capability")

    def fits(self, model: ModelSpec, largest: int) -> Iterator[Broken]:
        """An engine that is there already is not built again."""
        yield from super().fits(model, largest)
        if model.source.kind == "engine":
            yield from self.idle("is of building an engine, and this one is built", *_OF_BUILDING)

    @classmethod
    def checks(cls, gpu: bool) -> list[Check]:
        """TensorRT or TensorRT-RTX; without a GPU it can only build engines."""
        return [judge(probe(PROBE), gpu)]


def judge(answer: Answer, gpu: bool) -> Check:
    """What the probe's answer means, on a machine with a GPU or without."""
    if isinstance(answer, str):
        return not_importable("tensorrt", "tensorrt_rtx", answer)
    detail = f"{answer['name']} {answer['version']}"
    never = of_flavor(str(answer["name"]))
    if gpu and answer["memory"] is None:
        missing = f"{detail} needs pycuda or cuda-python, one of both ({answer['why_not']})"
        return Check(BACKENDS, "tensorrt", MISSING, missing, install_command("cuda"))
    if gpu:
        found = noted(f"{detail}, {answer['memory']}", never)
        return Check(BACKENDS, "tensorrt", OK, found, runs=True)
    return Check(
        BACKENDS, "tensorrt", NOTE, noted(f"no GPU here; {detail} builds engines only", never)
    )
