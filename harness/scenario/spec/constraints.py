"""What a point must hold, and what the best one is best at: `constraints` and `objective`.

The metrics that may stand there are rows of `harness.scenario.metrics`, so their fields are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, create_model

from harness.scenario.metrics import CONSTRAINTS, METRICS, OBJECTIVES, Metric
from harness.scenario.rules.base import Broken, under
from harness.scenario.spec.fields import Model, PositiveFloat, Several, only, shape_of


class Bound(Model):
    """A constraint on one metric: `min` for throughput, `max` for everything else."""

    max: float | None = Field(None, ge=0, description="at most this")
    min: float | None = Field(None, ge=0, description="at least this")
    one_round: bool = Field(
        False, description="whether a single round may show that it holds; else it takes two"
    )


if TYPE_CHECKING:
    ObjectiveMetric = str

    class _Bounds(Model): ...

    class _Weights(Model): ...
else:

    def _optional(names: Iterable[str], kind: object, meaning: Callable[[Metric], str]) -> type:
        """A model with an optional field a metric."""
        fields = {n: (kind, Field(None, description=meaning(METRICS[n]))) for n in names}
        return create_model("Metrics", __base__=Model, **fields)

    ObjectiveMetric = Literal[OBJECTIVES]
    _Bounds = _optional(CONSTRAINTS, Bound | None, lambda m: m.meaning)
    _Weights = _optional(
        OBJECTIVES,
        PositiveFloat | None,
        lambda m: f"weight; {'more' if m.more_is_better else 'less'} is better",
    )


class Constraints(_Bounds):
    """What a point must hold to count as a candidate."""

    def items(self) -> list[tuple[str, Bound]]:
        """(metric, bound) of the constraints that were written."""
        return [(k, v) for k in type(self).model_fields if (v := getattr(self, k))]

    def _broken(self) -> Iterator[Broken]:
        for metric, written in self.items():
            yield from under((metric,), _one_sided(metric, written))


def _one_sided(metric: str, written: Bound) -> Iterator[Broken]:
    """The bound is on the side where the metric is worse."""
    more = METRICS[metric].more_is_better
    useful, useless = ("min", "max") if more else ("max", "min")
    if getattr(written, useless) is not None:
        words = f"{'more' if more else 'less'} is better of {metric}; write `{useful}`"
        yield Broken((useless,), words, on_key=True)
    elif getattr(written, useful) is None:
        yield Broken((), f"write the bound, like {{{useful}: 100}}", lacks=(useful,))


class Weights(_Weights):
    """Several metrics in one: their weighted geometric mean. A weight of 2 beside one of 1 says
    that 1 % of the first is worth 2 % of the second.
    """

    def _broken(self) -> Iterator[Broken]:
        if not any(weight is not None for _, weight in self):
            yield Broken((), "write the weights, like {throughput: 2, latency_p99_ms: 1}")


Objective = Annotated[
    Annotated[ObjectiveMetric, Tag("one")]
    | Annotated[Weights, Tag("settings")]
    | Several[ObjectiveMetric],
    Discriminator(shape_of),
    BeforeValidator(only),
]
