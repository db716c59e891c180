"""What a point must hold, and what the best one is best at: `constraints` and `objective`."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness.scenario.rules import base as rule_base
from harness.scenario.rules import load as load_rules
from harness.scenario.spec.fields import Model


class Bound(Model):
    """A constraint on one metric: `min` for throughput, `max` for everything else."""

    max: float | None = Field(None, ge=0, description="at most this")
    min: float | None = Field(None, ge=0, description="at least this")


class Constraints(Model):
    """What a point must hold to count as a candidate."""

    latency_p50_ms: Bound | None = Field(None, description="median latency")
    latency_p90_ms: Bound | None = Field(None, description="90th percentile of latency")
    latency_p95_ms: Bound | None = Field(None, description="95th percentile of latency")
    latency_p99_ms: Bound | None = Field(None, description="99th percentile of latency")
    latency_p999_ms: Bound | None = Field(None, description="99.9th percentile of latency")
    throughput: Bound | None = Field(None, description="inferences a second")
    host_memory_mib: Bound | None = Field(None, description="peak of the process tree, 2^20 bytes")
    gpu_memory_mib: Bound | None = Field(None, description="peak of the process tree, 2^20 bytes")
    joules_per_inference: Bound | None = Field(
        None, description="energy of the whole GPU by the inferences, in joules"
    )
    errors: Bound | None = Field(None, description="failed requests, over all rounds")

    def items(self) -> list[tuple[str, Bound]]:
        """(metric, bound) of the constraints that were written."""
        return [(k, v) for k, v in ((k, getattr(self, k)) for k in type(self).model_fields) if v]

    def _broken(self) -> Iterable[rule_base.Broken]:
        return [
            b
            for metric, v in self.items()
            for b in rule_base.under((metric,), load_rules.bound(metric, v.model_dump()))
        ]
