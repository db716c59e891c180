"""Tenants of one device: `sharing`, what `harness share` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from harness.scenario.rules.base import Broken, remove, repeated, twice
from harness.scenario.spec import fields as of
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.colocated import CHOICES, ColocatedLoad, OtherModel
from harness.scenario.spec.fields import Model
from harness.scenario.spec.limits import MIB
from harness.scenario.spec.served import ServedSettings
from harness.scenario.units import Size

Kind = Literal["dedicated", "time_slicing", "mps"]
DEDICATED: Kind = "dedicated"
Count = Annotated[int, Field(ge=2, le=64)]


class TenantLoad(ColocatedLoad):
    """What is asked of a tenant, alone and beside others."""


class Tenant(Model):
    """A model with its backend and load; it has worker processes of its own."""

    name: of.Name = Field(description="its name in tables")
    backend: of.Name | None = Field(
        None, description="the name of one of `backends`; default: the only one"
    )
    model: OtherModel | None = Field(None, description="what it is; default: the scenario's model")
    load: TenantLoad = Field(description="what is asked of it")

    @field_validator("model")
    @classmethod
    def _named(cls, model: OtherModel | None, info: ValidationInfo) -> OtherModel | None:
        if model is None or model.name or "name" not in info.data:
            return model
        return model.model_copy(update={"name": info.data["name"]})


class Mode(Model):
    """How tenants share the device; a word alone is its `kind`."""

    kind: Kind = Field(
        description="dedicated: each tenant alone (always measured); time_slicing: together, and "
        "nothing else done; mps: as clients of one daemon of CUDA MPS, on cuda only"
    )
    threads: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None, description="mps: percent of the multiprocessors that each tenant may use"
    )
    memory: Size | None = Field(
        None, description="mps: GPU memory that each process may hold, its context included"
    )

    @property
    def id(self) -> str:
        """Part of the name of what is measured under it."""
        parts = [str(self.kind)]
        parts += [f"{self.threads}%"] if self.threads else []
        parts += [f"{self.memory // MIB}MiB"] if self.memory else []
        return "-".join(parts)

    @property
    def words(self) -> str:
        """It in tables."""
        names = {"mps": "MPS", "time_slicing": "time-slicing"}
        parts = [names.get(self.kind, str(self.kind))]
        parts += [f"{self.threads} % of threads each"] if self.threads else []
        parts += [f"{self.memory // MIB} MiB each"] if self.memory else []
        return ", ".join(parts)

    def _broken(self) -> Iterator[Broken]:
        if self.kind != "mps":
            yield from self.idle(f"goes with `kind: mps`, not {self.kind}", "threads", "memory")
        if self.memory is not None and self.memory < MIB:
            yield Broken(("memory",), "is less than 1 MiB, the unit of MPS")


def _mode(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


AnyMode = Annotated[
    Mode,
    BeforeValidator(_mode, json_schema_input_type=Mode | Kind),
]


class Replicas(Model):
    """A tenant as several replicas that share one load of the device: the sharing table."""

    tenant: of.Name | None = Field(None, description="which; default: the first")
    counts: of.Some[Count] = Field(description="how many replicas")
    concurrency: of.Callers | None = Field(
        None,
        description="callers of the whole device, shared out evenly: one tenant has as many;"
        " counts that don't divide them have no row",
    )
    request_rate: of.Rates | None = Field(None, description="or requests a second, likewise")

    def _broken(self) -> Iterator[Broken]:
        yield from repeated("counts", self.counts)
        keys = ("concurrency", "request_rate")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            yield Broken((), f"needs exactly one of concurrency and request_rate; found {found}",
                         lacks=() if given else keys)  # fmt: skip
        for key in given:
            yield from repeated(key, getattr(self, key))
        for index, callers in enumerate(self.concurrency or ()):
            if all(callers % count for count in self.counts):
                words = " or ".join(map(str, self.counts))
                message = f"{callers} callers can't be shared out evenly by {words} replicas"
                yield Broken(("concurrency", index), message)


class Target(Model):
    """How many replicas the device holds, each under the tenant's own load."""

    tenant: of.Name | None = Field(None, description="which; default: the first")
    latency_p99_ms: of.PositiveFloat = Field(description="what each replica must hold")
    most: Count = Field(4, description="replicas that are tried at most")


class Sharing(Model):
    """Tenants of one device, and how they share it. See docs/sharing.md."""

    tenants: of.Some[Tenant] = Field(description="what runs on the device")
    modes: of.Some[AnyMode] = Field(
        default_factory=lambda: (Mode(kind="time_slicing"),),
        description="how it is shared; default: time_slicing",
    )
    pairs: bool = Field(
        True, description="of several tenants, also each two together: the interference matrix"
    )
    replicas: Replicas | None = Field(
        None, description="one tenant as several replicas, matched by the load of the device"
    )
    target: Target | None = Field(None, description="how many replicas hold a latency target")
    predict: bool = Field(
        False,
        description="measure each tenant beside stressors of one resource each, and predict what "
        "each two do to one another; with `pairs`, say how far off that is",
    )

    @property
    def shared(self) -> list[Mode]:
        """The modes in which tenants are together."""
        return [mode for mode in self.modes if mode.kind != DEDICATED]

    def tenant(self, name: str | None) -> Tenant:
        """By its name; None is the first. Raises KeyError."""
        return {t.name: t for t in self.tenants}[name or self.tenants[0].name]

    def _broken(self) -> Iterator[Broken]:
        names = [t.name for t in self.tenants]
        for index, name in twice(names):
            yield Broken(("tenants", index, "name"), f"two tenants have the name '{name}'")
        yield from repeated("modes", self.modes)
        if not self.shared:
            yield Broken(("modes",), "needs one in which tenants are together, like time_slicing")
        for key in ("replicas", "target"):
            part = getattr(self, key)
            if part is not None and part.tenant not in (None, *names):
                yield Broken((key, "tenant"), f"no tenant is called '{part.tenant}'")
        for index, name in enumerate(names):
            if self.predict and name.startswith("stress-"):
                why = "names that begin with stress- are the stressors' where pairs are predicted"
                yield Broken(("tenants", index, "name"), why)
        if len(names) == 1 and self.replicas is None and self.target is None:
            yield Broken((), "one tenant shares with nobody; add another, `replicas` or `target`",
                         lacks=("replicas", "target"))  # fmt: skip

    def fits(self, backends: Sequence[BackendSettings | None]) -> Iterator[Broken]:
        """What must hold beside the backends; one that can't be parsed is None."""
        if None in backends:
            return
        known = {b.name or b.default_name: b for b in backends if b is not None}
        chosen = []
        for index, tenant in enumerate(self.tenants):
            loc = ("tenants", index)
            if tenant.backend is None and len(known) > 1:
                message = f"needs `backend`, one of {', '.join(known)}"
                yield Broken(loc, message, lacks=("backend",))
            elif tenant.backend not in (None, *known):
                yield Broken((*loc, "backend"), f"no backend is called '{tenant.backend}'")
            else:
                spec = known[tenant.backend or next(iter(known))]
                yield from _broken_tenant(tenant, spec, loc)
                chosen.append(spec)
        yield from self._one_device(chosen)

    def _one_device(self, chosen: Sequence[BackendSettings]) -> Iterator[Broken]:
        """All tenants are on the same device, and MPS is for GPUs."""
        devices = list(dict.fromkeys(device_of(spec) for spec in chosen))
        if len(devices) > 1:
            message = f"tenants are on one device, and these are on {' and '.join(devices)}"
            yield Broken(("tenants",), message)
        for index, mode in enumerate(self.modes):
            if mode.kind == "mps" and "cpu" in devices:
                message = "CUDA MPS shares a GPU, and the tenants run on the CPU; "
                yield Broken(("modes", index), message + "there, give time_slicing alone")
            elif mode.kind == "mps" and any(spec.limits.gpu_memory for spec in chosen):
                message = "a backend's `limits.gpu_memory` has a daemon of its own; "
                yield Broken(("modes", index), message + "give the mode `memory` instead")


def device_of(spec: BackendSettings) -> str:
    """As scenarios spell it."""
    return str(getattr(spec, "device", None) or "cuda") if spec.on_gpu else "cpu"


def _broken_tenant(
    tenant: Tenant, spec: BackendSettings, loc: tuple[str | int, ...]
) -> Iterator[Broken]:
    if isinstance(spec, ServedSettings):
        where = spec.server
        if where.url is not None or where.docker is not None:
            message = "runs on a server that the harness does not start itself, whose sharing it"
            yield Broken((*loc, "backend"), f"{message} can't arrange")
        if any(isinstance(getattr(spec, key), tuple) for key in CHOICES):
            yield Broken((*loc, "backend"), "holds lists; a tenant is one config")
        if spec.colocated:
            yield Broken((*loc, "backend"), "has co-located models; make them tenants")
    if tenant.model is not None and len(tenant.model.source.kinds) == 1:
        for broken in spec.fits(tenant.model, tenant.load.batch_size):
            yield Broken((*loc, "model"), f"{'.'.join(map(str, broken.loc))}: {broken.message}")
    for word, size in tenant.model.dynamic.items() if tenant.model else ():
        if isinstance(size, tuple):
            yield remove(word, "has one size here: a tenant's requests are alike", *loc, "model")


PARTS = (
    ("sharing", Sharing), ("sharing.tenants[]", Tenant), ("sharing.tenants[].load", TenantLoad),
    ("sharing.modes[]", Mode), ("sharing.replicas", Replicas), ("sharing.target", Target),
)  # fmt: skip
"""The parts of docs/scenario.md."""
