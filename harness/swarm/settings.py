"""A service under shapes of load and faults: `stress`, what `harness stress` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, create_model

from harness.scenario.rules.base import Broken, any_of, remove
from harness.scenario.spec import fields as of
from harness.scenario.spec.fields import Model
from harness.scenario.spec.served import ServedSettings
from harness.scenario.units import Duration, PositiveDuration


def _share(value: object) -> object:
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError:
            raise ValueError(f"'{value}' is no share; write 1% or 0.01") from None
    return value


Share = Annotated[
    float, Field(ge=0, le=1), BeforeValidator(_share, json_schema_input_type=float | str)
]
"""`1%` or `0.01`."""
Level = Annotated[float, Field(ge=0, le=1_000_000)]
Most = Annotated[float, Field(gt=0, le=1_000_000)]


class Shape(Model):
    """Base of the shapes. A level is requests a second, sent on schedule whatever comes back
    (open loop), or with `unit: users` callers that each wait for their answer (closed loop).
    """

    phases: ClassVar[tuple[str, ...]]
    """The names of its stretches; a step's are numbered."""

    def lacks(self, phase: str) -> str:
        """What it has instead of a phase of this name; empty where it has it."""
        return "" if phase in self.phases else f"it has {any_of(self.phases)}"

    unit: Literal["rate", "users"] = Field(
        "rate", description="what the levels are: requests a second, or users"
    )


class Level1(Shape):
    """One level for the whole time."""

    unit: Literal["rate", "users"] = Field("rate", description="by the key that is given")
    rate: of.Rate | None = Field(None, description="requests a second (open loop)")
    users: of.Caller | None = Field(None, description="or callers (closed loop)")
    duration: PositiveDuration = Field(description="for how long")

    def _broken(self) -> Iterator[Broken]:
        if (self.rate is None) == (self.users is None):
            yield Broken((), "give one of rate and users", lacks=("rate", "users"))
        yield from self.idle("follows from `rate` or `users`", "unit")


class Constant(Level1):
    """The same load all the time."""

    phases = ("steady",)


class Soak(Level1):
    """The same load for long: is memory lost?"""

    phases = ("soak",)


class StressRamp(Shape):
    """A load that grows evenly: where does it saturate?"""

    phases = ("ramp",)
    begin: Level = Field(0.0, description="level at the start")
    end: Most = Field(description="level at the end")
    duration: PositiveDuration = Field(description="from one to the other")


class Steps(Shape):
    """Level after level: where does it saturate?"""

    phases = ("step",)
    begin: Most = Field(description="the first level")
    end: Most = Field(description="the last level")
    steps: Annotated[int, Field(ge=2, le=100)] = Field(5, description="how many levels")
    duration: PositiveDuration = Field(description="of all of them")

    def lacks(self, phase: str) -> str:
        """Each step is a phase, and `step` stands for all."""
        if phase in ("step", *(f"step {i + 1}" for i in range(self.steps))):
            return ""
        return f"it has `step 1` to `step {self.steps}`, and `step` for the worst of them"


class Wave(Shape):
    """A load that swings between two levels, as a day does."""

    phases = ("wave",)
    base: Level = Field(description="the lowest level, at the start")
    peak: Most = Field(description="the highest level")
    period: PositiveDuration = Field(description="from one low to the next")
    duration: PositiveDuration = Field(description="for how long")


class StressTrace(Shape):
    """Arrivals that were recorded."""

    phases = ("trace",)
    unit: Literal["rate"] = Field("rate", description="a trace is an open loop")
    file: of.File = Field(description="arrival times, one a line, in seconds")


if TYPE_CHECKING:

    class _Lasting(Model):
        pass

    class _Spike(Shape):
        pass
else:  # `for` is a word of Python, so these fields are made
    _Lasting = create_model(
        "_Lasting",
        __base__=Model,
        **{
            "for": (
                PositiveDuration | None,
                Field(
                    None,
                    description="how long it lasts: a model stays "
                    "unloaded (default 1s), the network slow (default 5s)",
                ),
            )
        },
    )
    _Spike = create_model(
        "_Spike",
        __base__=Shape,
        **{"for": (PositiveDuration, Field(description="how long the peak lasts"))},
    )


class Spike(_Spike):
    """A sudden peak: how long until the service has recovered?"""

    phases = ("before", "spike", "after")
    base: Most = Field(description="level before and after")
    peak: Most = Field(description="level of the peak")
    at: PositiveDuration = Field(description="when the peak begins")
    duration: PositiveDuration = Field(description="of the whole")

    @property
    def lasts(self) -> float:
        """Seconds of the peak."""
        return float(getattr(self, "for"))

    def _broken(self) -> Iterator[Broken]:
        if self.at + self.lasts >= self.duration:
            yield Broken(("duration",), "ends before the peak has: nothing is left to recover in")


SHAPES = ("constant", "ramp", "step", "spike", "soak", "wave", "trace")


class ShapeChoice(Model):
    """One of the shapes."""

    constant: Constant | None = Field(None, description="the same load all the time")
    ramp: StressRamp | None = Field(None, description="grows evenly")
    step: Steps | None = Field(None, description="grows in steps")
    spike: Spike | None = Field(None, description="a sudden peak")
    soak: Soak | None = Field(None, description="the same load for long")
    wave: Wave | None = Field(None, description="swings between two levels")
    trace: StressTrace | None = Field(None, description="recorded arrivals")

    @property
    def kind(self) -> str:
        """Which one."""
        return next(name for name in SHAPES if getattr(self, name) is not None)

    @property
    def chosen(self) -> Shape:
        """That one."""
        found: Shape = getattr(self, self.kind)
        return found

    def _broken(self) -> Iterator[Broken]:
        given = [name for name in SHAPES if getattr(self, name) is not None]
        if len(given) != 1:
            yield Broken((), f"give one of {any_of(SHAPES)}; found {' and '.join(given) or 'none'}")


class Network(Model):
    """What happens to the connections, by a proxy between the clients and the server."""

    delay_ms: Level = Field(0.0, description="every piece of data waits for this long, each way")
    stall: Share = Field(
        0.0, description="share of the pieces that wait for 200 ms, as one that was lost and sent "
        "again would"
    )  # fmt: skip

    def _broken(self) -> Iterator[Broken]:
        if not self.delay_ms and not self.stall:
            yield Broken((), "does nothing; give delay_ms or stall", lacks=("delay_ms", "stall"))


FAULTS = ("kill", "pause", "unload", "network")


class Fault(_Lasting):
    """One thing that goes wrong on purpose. Only for a server that the harness starts."""

    at: Duration = Field(description="when, after the load began")
    kill: Literal["server"] | None = Field(
        None, description="SIGKILL; the harness starts the server again"
    )
    pause: PositiveDuration | None = Field(
        None, description="the server stands still for this long (SIGSTOP, then SIGCONT)"
    )
    unload: Literal["model"] | None = Field(None, description="the model, then loaded again")
    network: Network | None = Field(None, description="slow or stalling connections")

    @property
    def kind(self) -> str:
        """Which one."""
        return next(name for name in FAULTS if getattr(self, name) is not None)

    @property
    def lasts(self) -> float:
        """Seconds from its begin until the harness ends it; a kill ends by itself."""
        given: float | None = getattr(self, "for")
        default = {"unload": 1.0, "network": 5.0, "pause": self.pause or 0.0}
        return default.get(self.kind, 0.0) if given is None else given

    def _broken(self) -> Iterator[Broken]:
        given = [name for name in FAULTS if getattr(self, name) is not None]
        if len(given) != 1:
            yield Broken((), f"give one of {any_of(FAULTS)}; found {' and '.join(given) or 'none'}")
        elif getattr(self, "for") is not None and given[0] in ("kill", "pause"):
            yield remove("for", f"has no meaning for {given[0]}")


class Limit(Model):
    """The most that is tolerated."""

    max: Annotated[float, Field(ge=0)] = Field(description="at most this")


class PhaseLimit(Limit):
    """The most that is tolerated, of all requests or of those of a phase."""

    during: str | None = Field(None, description="the phase, like `spike`; default: all the time")


class ShareLimit(Model):
    """The largest share that is tolerated, of all requests or of those of a phase."""

    max: Share = Field(description="at most this, like `1%`")
    during: str | None = Field(None, description="the phase, like `spike`; default: all the time")


class Thresholds(Model):
    """What must hold; what does not makes the exit code 1, what can't be judged 4."""

    error_rate: of.Many[ShareLimit] | None = Field(
        None, description="share of the due requests that failed, were late, shed or never sent; "
        "one limit, or several"
    )  # fmt: skip
    latency_p99_ms: of.Many[PhaseLimit] | None = Field(
        None, description="from when a request was due; one limit, or several"
    )
    recovery_s: Limit | None = Field(
        None, description="after a spike or a fault until requests are answered as before it"
    )
    gpu_memory_growth_mib_per_hour: Limit | None = Field(None, description="of the device")
    host_memory_growth_mib_per_hour: Limit | None = Field(None, description="of the server")


OF_PHASES = ("error_rate", "latency_p99_ms")
"""The thresholds that may hold for a phase alone."""


class Stress(Model):
    """Shapes of load, faults and limits, for one Triton backend. See docs/stress.md."""

    shape: ShapeChoice = Field(description="how the load goes")
    backend: of.Name | None = Field(
        None, description="the name of the Triton backend; default: the only one"
    )
    faults: of.Many[Fault] = Field((), description="what goes wrong on purpose, and when")
    thresholds: Thresholds = Field(default_factory=Thresholds, description="what must hold")
    arrivals: Literal["constant", "poisson"] = Field(
        "poisson", description="rates: how arrivals are spaced"
    )
    max_outstanding: of.Caller = Field(
        256, description="rates: requests that may be open at once, over all workers"
    )
    overload: Literal["wait", "shed"] = Field(
        "wait", description="rates: what is due while all are open waits, or is shed and counted"
    )
    locustfile: of.File | None = Field(
        None, description="your own Locust users instead of the harness's; needs levels in users"
    )
    abort: bool = Field(
        True, description="end early when a threshold can't hold any more, or open requests and "
        "latency both keep growing"
    )  # fmt: skip

    def _broken(self) -> Iterator[Broken]:
        shape = self.shape.chosen if len(_given(self.shape)) == 1 else None
        if shape is None:
            return
        users = shape.unit == "users" or getattr(shape, "users", None) is not None
        if self.locustfile and not users:
            message = "users of your own make a closed loop; give the shape `unit: users`"
            yield Broken(("locustfile",), message)
        if users:
            why = "goes with a shape whose levels are rates"
            yield from self.idle(why, "arrivals", "max_outstanding", "overload")
        yield from self._no_phase(shape)
        duration: float | None = getattr(shape, "duration", None)
        for index, fault in enumerate(self.faults):
            if duration is not None and fault.at >= duration:
                yield Broken(("faults", index, "at"), "comes after the load has ended")

    def _no_phase(self, shape: Shape) -> Iterator[Broken]:
        for name in OF_PHASES:
            limits: Sequence[PhaseLimit | ShareLimit] = getattr(self.thresholds, name) or ()
            for index, limit in enumerate(limits):
                if limit.during is not None and (has := shape.lacks(limit.during)):
                    message = f"no phase of a {self.shape.kind} is called '{limit.during}'; {has}"
                    yield Broken(("thresholds", name, index, "during"), message)

    def fits(self, backends: Sequence[object]) -> Iterator[Broken]:
        """What must hold beside the backends; one that can't be parsed is None."""
        served = [b for b in backends if isinstance(b, ServedSettings)]
        names = [b.name or b.default_name for b in served]
        if None in backends:
            return
        if self.backend is not None and self.backend not in names:
            yield Broken(("backend",), f"no Triton backend is called '{self.backend}'")
        elif self.backend is None and len(served) != 1:
            yield Broken((), f"needs one Triton backend, and there are {len(served)}; "
                         "name it: `backend: NAME`", lacks=("backend",))  # fmt: skip
        else:
            chosen = served[names.index(self.backend) if self.backend else 0]
            for index, fault in enumerate(self.faults if chosen.colocated else ()):
                if fault.kill:
                    message = "would end the load of the co-located models; leave it or them out"
                    yield Broken(("faults", index, "kill"), message)
            ours = chosen.server.url is None and chosen.server.docker is None
            if self.faults and not ours:
                message = "only a server that the harness starts itself is harmed"
                yield remove("faults", message)
            if getattr(chosen, "io", "host") != "host":
                yield Broken((), "sends tensors in messages; use `io: host` in the backend")


def _given(shape: ShapeChoice) -> list[str]:
    return [name for name in SHAPES if getattr(shape, name) is not None]


PARTS = (
    ("stress", Stress), ("stress.shape", ShapeChoice), ("stress.shape.constant", Constant),
    ("stress.shape.ramp", StressRamp), ("stress.shape.step", Steps), ("stress.shape.spike", Spike),
    ("stress.shape.soak", Soak), ("stress.shape.wave", Wave), ("stress.shape.trace", StressTrace),
    ("stress.faults[]", Fault), ("stress.faults[].network", Network),
    ("stress.thresholds", Thresholds), ("one limit", Limit),
    ("a limit of a share", ShareLimit), ("a limit of a phase", PhaseLimit),
)  # fmt: skip
"""The parts of docs/scenario.md."""
