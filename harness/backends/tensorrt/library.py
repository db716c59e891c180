"""TensorRT's two flavours behind one name: finding them, their messages, their engine headers.

TensorRT (`tensorrt`, 10.x and 11.x) and TensorRT-RTX (`tensorrt_rtx`, 1.x) have the same Python
API, less what the other one lacks; what exists is asked with `hasattr`, never by version number.
"""

from __future__ import annotations

import importlib
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from harness.errors import BackendError, HarnessError, MissingPackageError, SetupError
from harness.errors import OutOfMemoryError as OutOfMemory
from harness.system.packages import TENSORRT, install_command, pip

if TYPE_CHECKING:
    import tensorrt

FlavorName = Literal["tensorrt", "tensorrt-rtx"]
MODULES: dict[FlavorName, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_INSTALL = {
    "tensorrt": pip("install", *TENSORRT), "tensorrt-rtx": install_command("tensorrt_rtx"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Release:
    """A TensorRT that exists somewhere: the one that wrote an engine, the one on a server."""

    name: FlavorName
    version: str
    """Four numbers, e.g. `10.9.0.34`."""

    @property
    def title(self) -> str:
        """As NVIDIA writes it, with the version."""
        return f"{'TensorRT-RTX' if self.rtx else 'TensorRT'} {self.version}"

    @property
    def rtx(self) -> bool:
        """Whether this is TensorRT-RTX, which is always strongly typed."""
        return self.name == "tensorrt-rtx"


@dataclass(frozen=True, slots=True)
class Flavor(Release):
    """One imported TensorRT."""

    trt: ModuleType
    """The module: `tensorrt` or `tensorrt_rtx`."""

    @property
    def weakly_typed(self) -> bool:
        """Whether builder flags choose the precision (10.x); otherwise the ONNX graph does."""
        return not self.rtx and hasattr(self.trt.BuilderFlag, "FP16")


def find(flavor: str = "auto") -> Flavor:
    """Import `tensorrt` or `tensorrt-rtx`; `auto` takes the first that is installed.

    Raises MissingPackageError when there is none, SetupError when one can't be imported.
    """
    wanted = [name for name in MODULES if flavor in ("auto", name)]
    for name in wanted:
        try:
            trt = importlib.import_module(MODULES[name])
        except (ImportError, OSError) as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == MODULES[name]
            if not absent:
                raise SetupError(f"{MODULES[name]} can't be imported: {error}") from error
        else:
            if hasattr(trt, "Builder"):  # an empty namespace package is no TensorRT
                return Flavor(name, str(trt.__version__), trt)
    raise MissingPackageError(
        f"{' or '.join(MODULES[name] for name in wanted)} is not installed",
        fix=" or ".join(_INSTALL[name] for name in reversed(wanted)),
    )


# ------------------------------------------------------------------------------------- messages

_WHERE = re.compile(r"\s*\.?\s*In \w+ at \S+:\d+")
_SOURCE = re.compile(r"^\[[\w.]+::\w+::\d+\]\s*")
_CODE = re.compile(r"Error Code \d+: ")
_KEPT = 20_000
LAYERS = re.compile(r"^(Layers|Engine Layer Information):")
"""How the builder's message that lists the engine's layers begins (RTX and 11.x; 10.x)."""


@dataclass(slots=True)
class Messages:
    """What TensorRT said; its return values only say that something failed, never what."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Everything but the verbose messages, as `LEVEL text`."""
    layers: str = ""
    """The builder's list of the engine's layers, with the type of every tensor."""

    def add(self, level: str, text: str) -> None:
        """Take one message of TensorRT's logger."""
        if LAYERS.match(text):
            self.layers = text
        if level == "VERBOSE":
            return
        if len(self.lines) < _KEPT:
            self.lines.append(f"{level} {text}")
        if level == "ERROR":
            self.errors.append(text)
        elif level == "WARNING" and text not in self.warnings:
            self.warnings.append(text)

    def why(self) -> str:
        """The first error, which later ones follow from, without C++ source positions."""
        return sentence(self.errors[0]) if self.errors else "it gave no reason"

    def error(self, doing: str, fix: str | None = None) -> HarnessError:
        """The exception for something that failed, with the reason TensorRT logged."""
        reason = self.why()
        everything = " ".join(self.errors).lower()
        if "out of memory" in everything or "outofmemory" in everything:
            return OutOfMemory(f"{doing}: {reason}")
        return BackendError(f"{doing}: {reason}", fix=fix)


def sentence(text: str) -> str:
    """TensorRT's message in one line, without its source files."""
    text = _CODE.sub("", _WHERE.sub("", _SOURCE.sub("", text)))
    return " ".join(text.split())[:400].rstrip(" .:")


def logger(flavor: Flavor, messages: Messages) -> tensorrt.ILogger:
    """A TensorRT logger that collects; keep it as long as anything made with it."""
    base = flavor.trt.ILogger

    class Logger(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            base.__init__(self)

        def log(self, severity: tensorrt.ILogger.Severity, msg: str) -> None:
            messages.add(severity.name, msg)

    return Logger()


# --------------------------------------------------------------------------------------- engines

_MAGIC: dict[bytes, FlavorName] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
HEADER_BYTES = 28


def engine_header(path: Path) -> Release:
    """Read the header of an engine file: a tag, the length, and at byte 24 the version.

    Deserialising a foreign file can end the process, so this comes first. The layout is the one
    that `trtexec --getPlanVersionOnly` reads. Raises BackendError for anything else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    flavor = _MAGIC.get(head[:4])
    if flavor is None or len(head) < HEADER_BYTES:
        raise BackendError(f"{path} is no TensorRT engine")
    (length,) = struct.unpack_from("<Q", head, 16)
    if flavor == "tensorrt-rtx" and length != size:
        raise BackendError(f"{path} has {size} bytes, but its header says {length}: damaged")
    return Release(flavor, ".".join(map(str, head[24:28])))


def misfit(built: Release, ours: Release) -> str:
    """Why our TensorRT can't run an engine that `built` wrote; empty when it can."""
    alike = re.findall(r"\d+", ours.version)[:3] == built.version.split(".")[:3]
    same = built.name == ours.name and alike
    return "" if same else f"it was built by {built.title}, and this is {ours.title}"


def diagnose(flavor: Flavor, runtime: tensorrt.Runtime, data: bytes) -> str:
    """What TensorRT-RTX finds wrong with an engine, in words; empty where it can't be asked."""
    kinds = getattr(flavor.trt, "EngineInvalidityDiagnostics", None)
    if kinds is None or not hasattr(runtime, "get_engine_validity"):
        return ""
    _, bits = runtime.get_engine_validity(data)
    names = [name for name, kind in kinds.__members__.items() if int(bits) & int(kind)]
    return ", ".join(name.lower().replace("_", " ") for name in names)
