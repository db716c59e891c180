"""The fake backend on a host with weather: autocorrelated noise and drift, for compare_aa.

What a request takes is multiplied by a path that depends on the system's clock alone, so that all
processes meet the same one: an AR(1) whose memory is longer than a window, and a slope.
"""

from __future__ import annotations

import random
import time
from itertools import accumulate
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from harness.backends.base import BackendContext
from harness.backends.fake import FakeBackend, FakeCaller, FakeRequest, FakeSettings

STEP_S = 0.02
LONGEST_S = 3600.0
"""That a comparison may take; the path stays at its end then."""


class NoisySettings(FakeSettings):
    """As the fake one's, and the path."""

    sources: ClassVar = ("fake",)

    kind: Literal["noisy"] = Field(description="which backend")  # type: ignore[assignment]
    origin_s: float = Field(description="where the path begins on the system's monotonic clock")
    path: int = Field(description="seed of the path")
    deviation: float = Field(0.015, description="of its logarithm")
    memory_s: float = Field(3.0, description="until its autocorrelation has fallen to 1/e")
    drift_per_minute: float = Field(0.05, description="0.05 is 5 % slower each minute")


def weather(spec: NoisySettings) -> NDArray[np.float64]:
    """The factor of each step: stationary AR(1) of the logarithm, and the slope."""
    steps = round(LONGEST_S / STEP_S)
    kept = float(np.exp(-STEP_S / spec.memory_s))
    shocks = np.random.default_rng(spec.path).standard_normal(steps)
    shocks[1:] *= (1 - kept**2) ** 0.5
    path = accumulate(shocks.tolist(), lambda last, shock: kept * last + shock)
    noise = spec.deviation * np.fromiter(path, np.float64, steps)
    minutes = np.arange(steps) * STEP_S / 60
    return np.asarray(np.exp(noise + np.log1p(spec.drift_per_minute) * minutes), np.float64)


class NoisyCaller(FakeCaller):
    """Waits as long as the weather has it."""

    def __init__(self, backend: NoisyBackend, rng: random.Random) -> None:
        super().__init__(backend, rng)
        self._path, self._origin = backend.path, backend.origin_s

    def infer(self, request: FakeRequest) -> FakeRequest:
        """The request, after its time in this weather."""
        step = int((time.monotonic() - self._origin) / STEP_S)
        factor = self._path[min(max(step, 0), len(self._path) - 1)]
        super().infer(request._replace(service_ns=round(request.service_ns * factor)))
        return request


class NoisyBackend(FakeBackend):
    """The fake one in that weather."""

    def __init__(self, spec: NoisySettings, context: BackendContext) -> None:
        super().__init__(spec, context)
        self.path, self.origin_s = weather(spec), spec.origin_s

    def caller(self) -> NoisyCaller:
        """A caller with its own jitter and everybody's weather."""
        return NoisyCaller(self, random.Random(f"{self.spec.seed}/{next(self._callers)}"))
