"""Rules of `load`, `measurement`, `constraints`, `objective` and `search`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.scenario import profiles, units
from harness.scenario.metrics import METRICS
from harness.scenario.rules.base import Broken, Data, as_map, as_numbers, is_map, twice


def load_(data: Data) -> Iterator[Broken]:
    """Rules of `load`."""
    for key in ("batch_sizes", "concurrency", "request_rate"):
        for index, value in twice(as_numbers(data.get(key))):
            yield Broken((key, index), f"{value} is there twice")
    shapes = [key for key in ("steps", "ramp", "trace") if data.get(key) is not None]
    for key in shapes[1:]:
        yield Broken((key,), f"give one of steps, ramp and trace; {shapes[0]} is there already")


def capacity(load: Data) -> Iterator[Broken]:
    """Rules of `load.find_capacity`, if it is there."""
    written = load.get("find_capacity")
    if is_map(written):
        yield from find_capacity(as_map(written))


def find_capacity(data: Data) -> Iterator[Broken]:
    """Rules of `load.find_capacity`: one target."""
    given = [k for k in data if k.startswith("latency_") and data[k] is not None]
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none"
        yield Broken((), f"needs exactly one latency target, like latency_p99_ms: 50; {found}")


def measurement(data: Data) -> Iterator[Broken]:
    """Rules of `measurement`; what isn't written comes from the profile."""
    filled = profiles.fill(data)
    try:
        window, longest = (units.parse_duration(filled[k]) for k in ("window", "window_max"))
    except ValueError:
        return
    least, most = filled["rounds"], filled["rounds_max"]
    if type(least) is int and type(most) is int and 0 < most < least <= 1000:
        key = "rounds_max" if "rounds_max" in data else "rounds"
        yield Broken((key,), f"rounds_max ({most}) is less than rounds ({least})")
    if longest < window:
        key = "window_max" if "window_max" in data else "window"
        sizes = f"window_max ({filled['window_max']}) is shorter than window ({filled['window']})"
        yield Broken((key,), sizes)


def bound(metric: str, data: object) -> Iterator[Broken]:
    """Rules of one constraint: the bound is on the side where the metric is worse."""
    if not isinstance(data, Mapping):
        return
    known = METRICS.get(metric)  # an unknown one is another rule's matter
    useful, useless = ("min", "max") if known and known.more_is_better else ("max", "min")
    if data.get(useless) is not None:
        words = "more is better" if useful == "min" else "less is better"
        yield Broken((useless,), f"{words} of {metric}; write `{useful}`", on_key=True)
    elif data.get(useful) is None:
        yield Broken((), f"write the bound, like {{{useful}: 100}}", lacks=(useful,))


def weights(data: Data) -> Iterator[Broken]:
    """Rules of a weighted objective."""
    if not any(value is not None for value in data.values()):
        yield Broken((), "write the weights, like {throughput: 2, latency_p99_ms: 1}")


def search(data: Data) -> Iterator[Broken]:
    """Rules of `search`."""
    method = data.get("method") or "grid"
    if data.get("trials") is not None and method != "bayesian":
        yield Broken(("trials",), f"goes with `method: bayesian`, not {method}; remove it",
                     on_key=True)  # fmt: skip
    if data.get("top") is not None and method not in ("quick", "bayesian"):
        message = f"goes with `method: quick` or `bayesian`, not {method}; remove it"
        yield Broken(("top",), message, on_key=True)
