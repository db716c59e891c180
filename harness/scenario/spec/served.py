"""A backend that runs its model on a server: what a scenario says of any such."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from harness.scenario.spec import colocated as models
from harness.scenario.spec import fields as of
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.server import Server
from harness.scenario.units import Size

T = TypeVar("T")


class ServedSettings(BackendSettings):
    """A model on a server, alone or with others; settings that hold lists make several configs."""

    remote: ClassVar = True

    serve: Literal["onnxruntime", "torch", "tensorrt"] | None = Field(
        None, description="what the server runs; left out for a model that is already there"
    )
    device: of.Device = Field("cpu", description="where the server runs it")
    precision: of.FilePrecision = Field(
        "fp32",
        description="of weights and arithmetic; tf32 on cuda only; int8, and what an ONNX "
        "file is in by default, of a file that is so",
    )
    threads: of.Threads | None = Field(None, description="intra-op threads of an instance")
    instances: of.Instances | None = Field(
        None,
        description="copies of the model that run side by side; a list is searched. Default: 1, "
        "or what the config.pbtxt of a model in your `repository` says",
    )
    max_batch_size: of.OneOrMore | None = Field(
        None,
        description="a list is searched. Default: the largest batch, or what the config.pbtxt of "
        "a model in your `repository` says",
    )
    dynamic_batching: models.BatchingChoices | None = Field(
        None,
        description="whether the server joins requests that wait into one batch; a list is "
        "searched. Default: false, or what the config.pbtxt of a model in your `repository` says",
    )
    config: models.ModelConfigChoices = Field(
        default_factory=dict,
        description="any field of config.pbtxt, as protobuf writes it in JSON; a list is searched",
    )
    env: dict[str, of.EnvironmentValue] = Field(
        default_factory=dict,
        description="environment variables of the server; a list of values is searched",
    )
    colocated: of.Many[models.ColocatedModel] = Field(
        (),
        description="other models that the same server runs at the same time, each under a load "
        "of its own; their lists are searched jointly",
    )
    composing: of.Words = Field(
        (),
        description="models that the model calls itself (BLS), whose statistics are read too; "
        "those of an ensemble are found without being named",
    )
    version: of.PositiveInt | None = Field(
        None,
        description="which version of a model that is on the server already; of a model in your "
        "`repository` no other is loaded. Default: the server's choice, the highest that it has",
    )
    flavor: Literal["auto", "tensorrt", "tensorrt-rtx"] = Field(
        "auto", description="`serve: tensorrt`: which one; auto takes the first that is installed"
    )
    workspace: Size | None = Field(
        None, description="`serve: tensorrt`: scratch memory a layer may use; default: all there is"
    )
    optimization_level: Annotated[int, Field(ge=0, le=5)] | None = Field(
        None, description="`serve: tensorrt`: from 0, fastest build, to 5; default: TensorRT's, 3"
    )
    cuda_graphs: bool = Field(
        False, description="`serve: tensorrt`: capture the computation and replay it"
    )
    server: Server = Field(
        default_factory=lambda: Server.model_validate({}),
        description="default: a server that the harness starts",
    )

    def alone(self, other: models.ColocatedModel) -> Self:
        """A co-located model as the backend that it would be alone."""
        own = ("precision", "threads", *models.CHOICES)
        return self.model_copy(update={
            **{key: getattr(other, key) for key in own},
            "name": other.name, "serve": other.serve or self.serve,
            "device": other.device or self.device, "colocated": (), "composing": (),
            "version": None,
            "env": {k: v for k, v in self.env.items() if not isinstance(v, tuple)},
        })  # fmt: skip

    @property
    def instance_count(self) -> int:
        """Copies of a model that the harness serves. Raises ValueError where a list stands."""
        return _single(self.instances) or 1

    @property
    def max_batch(self) -> int | None:
        """The largest batch the server takes, where it is written. Raises ValueError for a list."""
        return _single(self.max_batch_size)

    @property
    def batching(self) -> models.Batching | None:
        """The dynamic batcher's settings; None where it is off or not mentioned.

        Raises ValueError where a list stands.
        """
        found = _single(self.dynamic_batching)
        return (models.Batching() if found else None) if isinstance(found, bool) else found

    @property
    def config_fields(self) -> dict[str, Any]:
        """Fields of config.pbtxt that are set by hand. Raises ValueError where a list stands."""
        return _single(self.config)

    @property
    def variables(self) -> dict[str, str]:
        """The server's additional environment variables. Raises ValueError where a list stands."""
        return {k: _single(v) for k, v in self.env.items()}

    @property
    def changes_model(self) -> bool:
        """Whether a model that is in a repository already is to be served differently."""
        written = (self.instances, self.max_batch_size, self.dynamic_batching, self.version)
        return bool(self.config) or any(v is not None for v in written)


def _single(value: T | tuple[T, ...]) -> T:
    if isinstance(value, tuple):
        message = "this backend stands for several configs; see harness.scenario.variants"
        raise ValueError(message)  # noqa: TRY004 - the type is right, the moment is wrong
    return value
