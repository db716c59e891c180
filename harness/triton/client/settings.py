"""What a scenario says of Triton, and what the harness must know of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from harness.errors import HarnessError
from harness.scenario.rules.base import Broken
from harness.scenario.spec import backend, colocated, model, served, server
from harness.system.check import (
    BACKENDS,
    MISSING,
    OK,
    Answer,
    Check,
    not_importable,
    probe,
)
from harness.triton.client import rules

PROBE = """
import json, importlib.metadata, tritonclient.http, tritonclient.grpc
print(json.dumps({"version": importlib.metadata.version("tritonclient")}))
"""


class TritonSettings(served.ServedSettings):
    """A real Triton server, called over HTTP or gRPC."""

    sources: ClassVar = (*backend.IN_ONNX, "triton")
    start_seconds: ClassVar = 8.0
    packages: ClassVar = (
        "tritonclient", "nvidia-pytriton", "grpcio", "geventhttpclient", "gevent", "protobuf",
    )  # fmt: skip
    parts: ClassVar = {
        "dynamic_batching: {…} (triton)": colocated.Batching,
        "colocated[] (triton)": colocated.ColocatedModel,
        "colocated[].model": colocated.OtherModel,
        "colocated[].load": colocated.ColocatedLoad,
        "server (triton)": server.Server,
        "server.docker": server.DockerSettings,
        "server.tls": server.TlsSettings,
        "server.telemetry": server.TelemetrySource,
    }

    kind: Literal["triton"] = Field(description="which backend; the other keys depend on it")
    protocol: Literal["http", "grpc"] = Field(description="how requests travel")
    io: Literal["host", "shared_memory", "cuda_shared_memory"] = Field(  # type: ignore[assignment]
        "host",
        description="how tensors travel: in the messages, or in memory that a server on this "
        "machine shares with the client (the host's or the GPU's)",
    )
    client: Literal["wire", "tritonclient"] = Field(
        "wire",
        description="who sends: the harness's own fast client, or the official library, "
        "to see what an application written on it would see",
    )
    client_processes: Annotated[int, Field(gt=0, le=64)] = Field(
        1,
        description="wire client: processes to begin with; where it nears its limit, more are "
        "added up to the spare cores, and the point is measured again",
    )
    rank_cached: bool = Field(
        False,
        description="rank points that the server answers from its response cache; without it they "
        "are flagged `from_cache` and left out, since they say nothing of the model",
    )

    @property
    def default_name(self) -> str:
        """By protocol, what is served, and all that differs from the default."""
        words = ["triton", self.protocol, self.serve or ""]
        words += [self.mode if self.mode != "fp32" else ""]
        words += ["tritonclient" if self.client == "tritonclient" else ""]
        words += [{"shared_memory": "shm", "cuda_shared_memory": "cudashm"}.get(self.io, "")]
        words += [f"v{self.version}"] if self.version else []
        words += ["with", *(other.name for other in self.colocated)] if self.colocated else []
        return "-".join(filter(None, words))

    @property
    def formats(self) -> frozenset[str]:
        """What the server runs; nothing of a model that is there already."""
        onnx = "onnx_fp16" if self.precision == "fp16" else "onnx"
        served = {"onnxruntime": frozenset({onnx}), "torch": frozenset({"torch"}),
                  "tensorrt": backend.formats_of_engine(self.precision)}  # fmt: skip
        return served.get(self.serve or "", frozenset())

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        if self.client != "wire":
            yield from self.idle("goes with `client: wire`", "client_processes")
        yield from rules.alone(self)

    def fits(self, model: model.ModelSpec, largest: int) -> Iterator[Broken]:
        """By what the server runs, whose models it has, and the co-located ones."""
        yield from super().fits(model, largest)
        yield from rules.with_model(self, model, largest)

    @classmethod
    def checks(cls, gpu: bool) -> list[Check]:
        """The client packages and the embedded server; the backend needs both."""
        return judge(probe(PROBE))


def judge(client: Answer) -> list[Check]:
    """What the probe of the client packages means, and a look at the server."""
    if isinstance(client, str):
        return [not_importable("triton client", "tritonclient", client), server_check(runs=False)]
    version = str(client["version"])
    return [Check(BACKENDS, "triton client", OK, version), server_check(runs=True)]


def server_check(*, runs: bool) -> Check:
    """Whether the embedded server is installed, starts, and answers; its binary is started once."""
    from harness.triton.server.install import OLD, find
    from harness.triton.server.process import try_out

    fix = "harness triton install"
    try:
        install = find()
        try_out(install)
    except HarnessError as error:
        why = error.message.partition("; log: ")[0]
        return Check(BACKENDS, "triton server", MISSING, why, error.fix or fix)
    except (OSError, ImportError) as error:
        return Check(BACKENDS, "triton server", MISSING, f"does not start: {error}", fix)
    version = f"nvidia-pytriton {install.version}; {OLD}"
    return Check(BACKENDS, "triton server", OK, version, runs=runs)
