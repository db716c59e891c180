"""What Triton's /metrics say about a window: the differences of its counters, and its gauges.

Parsed by prometheus_client. Names and units are those of docs/user_guide/metrics.md of Triton;
what a server does not export (GPU metrics on a machine without one, a cache that is off) is left
out, never zero. A counter that went backwards was reset in between, by a reload or a restart:
its difference is not known, so there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.results.details import PHASES, ServerMetrics
from harness.triton.counters.scrape import Reading

MIB = 2**20
_CACHE = {
    "hits": "nv_cache_num_hits_per_model", "misses": "nv_cache_num_misses_per_model",
    "hit_us": "nv_cache_hit_duration_per_model", "miss_us": "nv_cache_miss_duration_per_model",
}  # fmt: skip
_GPU: dict[str, tuple[str, float, Callable[[Sequence[float]], float]]] = {
    "utilization_percent": ("nv_gpu_utilization", 100.0, lambda v: sum(v) / len(v)),
    "memory_used_mib": ("nv_gpu_memory_used_bytes", 1 / MIB, max),
    "memory_total_mib": ("nv_gpu_memory_total_bytes", 1 / MIB, max),
    "power_w": ("nv_gpu_power_usage", 1.0, lambda v: sum(v) / len(v)),
}
"""Gauge of a GPU → the metric, the factor to our unit, and what stands for several readings."""
ENERGY = "nv_energy_consumption"
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """One reading, parsed: metric name, as Triton spells it, to labels and values."""

    samples: Mapping[str, Sequence[tuple[Labels, float]]]

    def get(self, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
        """The series of a metric that carry these labels, by all their labels."""
        return {
            tuple(sorted(found.items())): value
            for found, value in self.samples.get(name, ())
            if labels.items() <= found.items()
        }

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of those series; None where there is none."""
        found = self.get(name, **labels)
        return sum(found.values()) if found else None


def parse(text: str) -> Page:
    """A metrics page. Raises ValueError for what is none, ModuleNotFoundError without the parser.

    The parser spells counters as OpenMetrics does, with `_total`; here they are as Triton's.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            counter = family.type == "counter"
            name = sample.name.removesuffix("_total") if counter else sample.name
            samples.setdefault(name, []).append((sample.labels, float(sample.value)))
    return Page(samples)


@dataclass(frozen=True, slots=True)
class _Ends:
    """The window's first and last page, and the names of counters found to have gone back."""

    before: Page
    after: Page
    model: str
    reset: list[str] = field(default_factory=list)

    def grown(self, name: str, **labels: str) -> float | None:
        """By how much a counter grew, over all series that carry `labels`."""
        before, after = self.before.get(name, **labels), self.after.get(name, **labels)
        if not after and not before:
            return None
        steps = [after.get(key, -1.0) - before.get(key, 0.0) for key in {*before, *after}]
        if any(step < 0 for step in steps):  # gone backwards, or gone
            self.reset.append(name)
            return None
        return sum(steps)

    def mine(self, name: str) -> float | None:
        """`grown`, of this model in all its versions."""
        return self.grown(name, model=self.model)


def at_ends(readings: Sequence[Reading]) -> tuple[Reading, Reading]:
    """The readings at the window's two ends. Raises ValueError where one is not there."""
    first, last = (*(r for r in readings if r.at_end), None, None)[:2]
    if first is None or last is None:
        raise ValueError("there is no reading at both ends of the window")
    return first, last


def over_window(readings: Sequence[Reading], model: str) -> ServerMetrics:
    """Everything that the readings of one window say about `model`.

    Raises ValueError when the readings at both ends are not there, or are no metrics page.
    """
    first, last = at_ends(readings)
    pages = [parse(r.text) for r in readings]
    ends = _Ends(parse(first.text), parse(last.text), model)
    gpus = {uuid: gpu | _energy(ends, uuid) for uuid, gpu in gpu_gauges(pages).items()}
    inferences = ends.mine("nv_inference_count")
    joules = [gpu["energy_j"] for gpu in gpus.values() if "energy_j" in gpu]
    requests = ends.mine("nv_inference_request_success")
    duration_us = _known({
        name: ends.mine(f"nv_inference_{name}_duration_us") for name in ("request", *PHASES)
    })  # fmt: skip
    return ServerMetrics(
        model=model,
        requests=requests,
        failures=dict(_failures(ends)),
        inferences=inferences,
        executions=ends.mine("nv_inference_exec_count"),
        duration_us=duration_us,
        cache=_known({key: ends.mine(name) for key, name in _CACHE.items()}),
        pending=_pending(pages, model),
        pinned_mib=_known({
            "used": _largest(pages, "nv_pinned_memory_pool_used_bytes"),
            "total": _largest(pages, "nv_pinned_memory_pool_total_bytes"),
        }),
        gpus=gpus,
        reset=tuple(dict.fromkeys(ends.reset)),
        reading_ms=max(r.end_ns - r.begin_ns for r in readings) / 1e6,
        joules_per_inference=sum(joules) / inferences if joules and inferences else None,
        mean_us={key: us / requests for key, us in duration_us.items()} if requests else {},
    )  # fmt: skip


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {key: value for key, value in values.items() if value is not None}


def _failures(ends: _Ends) -> Iterator[tuple[str, float]]:
    """By reason; older servers give none."""
    name = "nv_inference_request_failure"
    series = ends.after.get(name, model=ends.model)
    for reason in sorted({dict(labels).get("reason", "") for labels in series}):
        labels = {"reason": reason} if reason else {}
        grown = ends.grown(name, model=ends.model, **labels)
        if grown is not None:
            yield reason or "failed", grown


def _gauge(pages: Sequence[Page], name: str, **labels: str) -> Iterator[float]:
    for page in pages:
        value = page.total(name, **labels)
        if value is not None:
            yield value


def _pending(pages: Sequence[Page], model: str) -> dict[str, tuple[float, ...]]:
    name = "nv_inference_pending_request_count"
    models = {labels.get("model", "") for page in pages for labels, _ in page.samples.get(name, ())}
    found = {m: tuple(_gauge(pages, name, model=m)) for m in sorted(models)}
    return {m: values for m, values in found.items() if m == model or any(values)}


def _largest(pages: Sequence[Page], name: str) -> float | None:
    value = max(_gauge(pages, name), default=None)
    return None if value is None else value / MIB


def gpu_gauges(pages: Sequence[Page]) -> dict[str, dict[str, float]]:
    """By UUID, what the pages' gauges say of each GPU: the keys of `_GPU` that are known."""
    return {uuid: dict(_gauges(pages, uuid)) for uuid in _uuids(pages)}


def _uuids(pages: Sequence[Page]) -> list[str]:
    names = (ENERGY, *(name for name, _, _ in _GPU.values()))
    found = {
        labels["gpu_uuid"]
        for page in pages for name in names for labels, _ in page.samples.get(name, ())
        if "gpu_uuid" in labels
    }  # fmt: skip
    return sorted(found)


def _gauges(pages: Sequence[Page], uuid: str) -> Iterator[tuple[str, float]]:
    """Triton reads them every `--metrics-interval-ms`."""
    for key, (name, factor, several) in _GPU.items():
        values = list(_gauge(pages, name, gpu_uuid=uuid))
        if values:
            yield key, factor * several(values)


def _energy(ends: _Ends, uuid: str) -> dict[str, float]:
    energy = ends.grown(ENERGY, gpu_uuid=uuid)
    return {} if energy is None else {"energy_j": energy}
