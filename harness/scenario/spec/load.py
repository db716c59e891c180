"""What is asked of each backend, and how it is measured: `load` and `measurement`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from harness.scenario.rules.base import Broken, repeated
from harness.scenario.spec import fields as of
from harness.scenario.spec.fields import Model
from harness.scenario.units import Duration, PositiveDuration, format_duration


class Step(Model):
    """A stretch of constant rate."""

    rate: of.Rate = Field(description="requests a second")
    duration: PositiveDuration = Field(description="for how long")


class Ramp(Model):
    """A rate that changes evenly."""

    begin: Annotated[float, Field(ge=0)] = Field(description="requests a second at the start")
    end: of.Rate = Field(description="requests a second at the end")
    duration: PositiveDuration = Field(description="from one to the other")


class FindCapacity(Model):
    """Search for the highest rate at which the share of requests within the target holds."""

    latency_p50_ms: of.PositiveFloat | None = Field(None, description="half within this")
    latency_p90_ms: of.PositiveFloat | None = Field(None, description="90 % within this")
    latency_p95_ms: of.PositiveFloat | None = Field(None, description="95 % within this")
    latency_p99_ms: of.PositiveFloat | None = Field(None, description="99 % within this")
    precision: Annotated[float, Field(gt=0, le=0.5)] = Field(
        0.05, description="relative step of the rates that are tried"
    )
    max_rate: of.Rate | None = Field(None, description="the highest rate to try and to answer with")

    @property
    def target(self) -> tuple[str, float]:
        """Percentile and milliseconds."""
        return next((p, v) for p in ("p50", "p90", "p95", "p99")
                    if (v := getattr(self, f"latency_{p}_ms")) is not None)  # fmt: skip

    def _broken(self) -> Iterator[Broken]:
        keys = [key for key in type(self).model_fields if key.startswith("latency_")]
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) != 1:
            found = f"found {' and '.join(given) or 'none'}"
            yield Broken((), f"needs exactly one latency target, like latency_p99_ms: 50; {found}")


OPEN_LOOP = ("request_rate", "steps", "ramp", "trace", "find_capacity")


class Arrivals(Model):
    """How an open loop's requests arrive, and what becomes of those that nobody takes."""

    arrivals: Literal["constant", "poisson", "gamma"] = Field(
        "poisson", description="open loop: how arrivals are spaced at a given rate"
    )
    cv: of.PositiveFloat = Field(
        1.0, description="gamma arrivals: coefficient of variation of the gaps; above 1 is bursty"
    )
    max_outstanding: of.Caller = Field(
        256, description="open loop: requests that may be open at once"
    )
    overload: Literal["wait", "shed"] = Field(
        "wait",
        description="open loop: what is due while all are open waits, or is shed and counted",
    )

    def _broken(self) -> Iterator[Broken]:
        given = [key for key in OPEN_LOOP if getattr(self, key, None) is not None]
        if not given:
            why = "goes with an open loop, like `request_rate`, and this load is a closed one"
            yield from self.idle(why, *Arrivals.model_fields)
        elif given == ["trace"]:
            yield from self.idle("the trace says when requests arrive", "arrivals", "cv")
        elif self.arrivals != "gamma":
            why = f"goes with `arrivals: gamma`, and these are {self.arrivals}"
            yield from self.idle(why, "cv")


class Load(Arrivals):
    """What is asked of each backend: closed loop (concurrency), open loop (rates), or both."""

    batch_sizes: of.BatchSizes = Field((1,), description="items in one request")
    concurrency: of.Callers | None = Field(
        None, description="closed loop: callers that each wait for their answer; default [1]"
    )
    request_rate: of.Rates | None = Field(
        None, description="open loop: requests a second, sent on schedule whatever comes back"
    )
    steps: of.Some[Step] | None = Field(
        None, description="open loop: constant rates, one after another"
    )
    ramp: Ramp | None = Field(None, description="open loop: a rate that changes evenly")
    trace: of.File | None = Field(
        None, description="open loop: a file of arrival times, one a line, in seconds"
    )
    find_capacity: FindCapacity | None = Field(
        None, description="open loop: search for the highest rate that holds a latency target"
    )

    @model_validator(mode="before")
    @classmethod
    def _closed_by_default(cls, data: object) -> object:
        if isinstance(data, dict) and not any(
            data.get(key) is not None for key in ("concurrency", *OPEN_LOOP)
        ):
            return {**data, "concurrency": [1]}
        return data

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        for key in ("batch_sizes", "concurrency", "request_rate"):
            yield from repeated(key, getattr(self, key))
        shapes = [key for key in ("steps", "ramp", "trace") if getattr(self, key) is not None]
        for key in shapes[1:]:
            message = f"give one of steps, ramp and trace; {shapes[0]} is there already"
            yield Broken((key,), message)


def _profile_fills(schema: JsonDict) -> None:
    """For editors nothing is required: the profile sets what is not written."""
    schema.pop("required", None)


DEFAULT_PROFILE = "standard"

PROFILES: dict[str, dict[str, int | str]] = {
    "search": {
        "rounds": 3, "rounds_max": 3, "warmup": "100ms", "warmup_requests": 2, "window": "300ms",
        "window_requests": 11, "window_max": "10s",
    },
    "quick": {
        "rounds": 3, "rounds_max": 3, "warmup": "500ms", "warmup_requests": 5, "window": "2s",
        "window_requests": 11, "window_max": "10s",
    },
    "standard": {
        "rounds": 5, "rounds_max": 15, "warmup": "2s", "warmup_requests": 20, "window": "10s",
        "window_requests": 662, "window_max": "60s",
    },
    "publish": {
        "rounds": 10, "rounds_max": 40, "warmup": "5s", "warmup_requests": 50, "window": "30s",
        "window_requests": 6636, "window_max": "300s",
    },
}  # fmt: skip
"""What a profile stands for. Request counts are the floors of p50, p99 and p99.9."""


def _fill(data: Mapping[str, object]) -> dict[str, object]:
    """`measurement` as written, on top of its profile's numbers (standard's, if it is unknown)."""
    profile = data.get("profile", DEFAULT_PROFILE)
    known = profile if isinstance(profile, str) and profile in PROFILES else DEFAULT_PROFILE
    filled: dict[str, object] = {**PROFILES[known], **data}
    rounds = data.get("rounds")
    if (
        "rounds_max" not in data
        and isinstance(rounds, int)
        and rounds is not True
        and 0 < rounds <= 1000
    ):
        filled["rounds_max"] = rounds  # one number, written for both
    return filled


class Targets(Model):
    """Half-widths of the 95 % intervals that are narrow enough; 0.01 is ±1 %."""

    throughput: of.PositiveFloat = Field(0.01, description="of throughput")
    latency_p50: of.PositiveFloat = Field(0.01, description="of the median")
    latency_p99: of.PositiveFloat = Field(0.05, description="of p99, where there is one")


class Measurement(Model):
    """How each point is measured; the profile sets what is not written."""

    model_config = ConfigDict(json_schema_extra=_profile_fills)

    profile: Literal["search", "quick", "standard", "publish"] = Field(
        "standard",
        description="a set of the numbers below; `search` finds the best config soonest, by many "
        "short windows",
    )
    rounds: Annotated[int, Field(gt=0, le=1000)] = Field(
        description="passes over all points, in fresh processes"
    )
    rounds_max: Annotated[int, Field(gt=0, le=1000)] = Field(
        description="rounds are added up to this many where intervals are too wide; where only "
        "`rounds` is written, the same as it"
    )
    budget: PositiveDuration | None = Field(
        None,
        description="nothing more is begun after this long: no config of a search, nothing of an "
        "added round; a scenario without lists always has its planned rounds, and a second one "
        "that was begun; default: no limit",
    )
    targets: Targets = Field(
        default_factory=Targets,
        description="half-widths of the intervals that are narrow enough",
    )
    warmup: Duration = Field(description="at least this long before the window, at every point")
    warmup_requests: of.PositiveInt = Field(description="and at least this many requests")
    window: PositiveDuration = Field(description="measured at least this long")
    window_requests: of.PositiveInt = Field(
        description="and until this many requests have finished"
    )
    window_max: PositiveDuration = Field(description="but no longer than this")
    request_timeout: PositiveDuration = Field(
        "30s", validate_default=True, description="a request that takes longer has failed"
    )
    load_timeout: PositiveDuration = Field(
        "180s", validate_default=True, description="how long a backend may take to load; where it "
        "is written, the model before its exports too, else 5m: its weights may be fetched. Each "
        "export, and the reference, may take 10m, or this if longer",
    )  # fmt: skip
    build_timeout: PositiveDuration = Field(
        "30m", validate_default=True, description="how long an engine of TensorRT may be built, "
        "beside `load_timeout`; within Triton it is added to that",
    )  # fmt: skip
    distinct_inputs: Annotated[int, Field(gt=0, le=10_000)] = Field(
        8, description="inputs that the requests cycle through"
    )
    interleave: Duration | None = Field(
        None,
        description="`harness compare SCENARIO`: both backends are loaded at once, and take turns "
        "of this length until each has its window, so that what else the machine does falls on "
        "both; 0s: each alone, one after the other; if not written, 100ms on the CPU and 0s "
        "on a GPU, whose energy short turns can't tell apart; not for served models",
    )  # fmt: skip
    seed: of.Seed = Field(0, description="for order of points and arrivals; inputs have their own")

    @model_validator(mode="before")
    @classmethod
    def _profile(cls, data: object) -> object:
        return _fill(data) if isinstance(data, dict) else data

    def _broken(self) -> Iterator[Broken]:
        written = self.model_fields_set
        if self.rounds_max < self.rounds:
            key = "rounds_max" if "rounds_max" in written else "rounds"
            sizes = f"rounds_max ({self.rounds_max}) is less than rounds ({self.rounds})"
            yield Broken((key,), sizes)
        if self.window_max < self.window:
            key = "window_max" if "window_max" in written else "window"
            most, least = format_duration(self.window_max), format_duration(self.window)
            yield Broken((key,), f"window_max ({most}) is shorter than window ({least})")
