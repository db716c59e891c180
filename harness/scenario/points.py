"""From a scenario to its points, and an estimate of how long they take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.scenario.sizes import parts_of, request_id
from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.load import Load
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.served import ServedSettings
from harness.scenario.variants import DEFAULT_CONFIG, configs


@dataclass(frozen=True, slots=True)
class Point:
    """One cell of the sweep: backend × config × batch size and other sizes × load."""

    backend: str
    config: str
    batch_size: int
    concurrency: int | None = None
    request_rate: float | None = None
    shape: str | None = None
    """Open loop with a rate that is not constant: `steps`, `ramp`, `trace` or `find_capacity`."""
    sizes: str = ""
    """Of the dynamic dimensions that vary, as `harness.scenario.sizes` labels them."""

    @property
    def id(self) -> str:
        """The point's name in journals, tables and file names, e.g. `triton-http/b4/c2` or
        `torch/b4,sequence=128/c2`.
        """
        parts = [self.backend] if self.config == DEFAULT_CONFIG else [self.backend, self.config]
        load = self.shape or (
            f"c{self.concurrency}" if self.concurrency is not None else f"r{self.request_rate:.10g}"
        )
        return "/".join([*parts, request_id(self.batch_size, self.sizes), load])

    @classmethod
    def parse(cls, text: str) -> Point:
        """The point that an `id` names. Raises ValueError."""
        *names, request, load = text.split("/")
        batch, _, sizes = request.partition(",")
        if (
            len(names) not in (1, 2)
            or batch[:1] != "b"
            or (load not in SHAPES and load[:1] not in ("c", "r"))
        ):
            raise ValueError(f"'{text}' is not a point; points look like triton-http/b4/c2")
        config = names[1] if len(names) == 2 else DEFAULT_CONFIG
        found = cls(names[0], config, int(batch[1:]), sizes=sizes)
        if load in SHAPES:
            return replace(found, shape=load)
        if load[0] == "c":
            return replace(found, concurrency=int(load[1:]))
        return replace(found, request_rate=float(load[1:]))

    @property
    def load_value(self) -> float:
        """The concurrency or the request rate, for sorting and axes."""
        return self.concurrency if self.concurrency is not None else self.request_rate or 0.0


SHAPES = ("steps", "ramp", "trace", "find_capacity")


def expand(scenario: Scenario) -> list[Point]:
    """Every point of the sweep, in the order they are written.

    A batch that is larger than a config takes makes no point: see `left_out`.
    """
    return [
        replace(load, backend=backend, config=config, batch_size=batch, sizes=sizes)
        for backend, found in configs(scenario).items()
        for config, spec in found.items()
        for batch in scenario.load.batch_sizes
        if takes(spec, batch)
        for sizes in parts_of(scenario.model.dynamic)
        for load in _loads(scenario.load)
    ]


def takes(spec: AnyBackend, batch: int) -> bool:
    """Whether a backend (with single values) takes requests of this batch size."""
    limit = spec.max_batch if isinstance(spec, ServedSettings) else None
    return limit is None or batch <= limit


def left_out(scenario: Scenario) -> list[str]:
    """A sentence for each config that does not take every batch size of the scenario."""
    notes = []
    for backend, found in configs(scenario).items():
        for config, spec in found.items():
            large = [str(b) for b in scenario.load.batch_sizes if not takes(spec, b)]
            if large:
                notes.append(
                    f"{backend}/{config} takes batches up to {getattr(spec, 'max_batch', None)}, "
                    f"so it is not measured at batch {', '.join(large)}"
                )
    return notes


def _loads(load: Load) -> list[Point]:
    """Points without backend and batch size: one for each load."""
    blank = Point("", DEFAULT_CONFIG, 0)
    points = [replace(blank, concurrency=c) for c in load.concurrency or ()]
    points += [replace(blank, request_rate=r) for r in load.request_rate or ()]
    points += [replace(blank, shape=s) for s in SHAPES if getattr(load, s) is not None]
    return points


RELOAD_SECONDS = 1.0
"""Allowance for one more config on a server that runs already."""

CAPACITY_RATES = 7
"""Rates that a search for the capacity tries in one round, about."""


def estimate(scenario: Scenario) -> float:
    """Roughly how many seconds the run takes, for `--dry-run`: a lower-middle guess, no promise.

    Each measurement is counted as warm-up plus window, and each backend in each round as one
    start (`start_seconds` of its settings, less where its server runs already) with a measurement
    that is discarded. Not counted: exports and parity before the first round, sessions of their
    own for points whose memory is asked about, and windows that go on, up to `window_max`, because
    `window_requests` have not finished.
    """
    spec = scenario.measurement
    points = expand(scenario)
    count = len(points) + len(scenario.backends)  # each session opens with one that is discarded
    count += (CAPACITY_RATES - 1) * sum(p.shape == "find_capacity" for p in points)
    running = [b for b in scenario.backends if isinstance(b, ServedSettings) and b.server.url]
    starting = sum(b.start_seconds for b in scenario.backends if b not in running)
    reloads = sum(map(len, configs(scenario).values())) - len(scenario.backends) + len(running)
    return spec.rounds * (count * (spec.warmup + spec.window) + starting + RELOAD_SECONDS * reloads)
