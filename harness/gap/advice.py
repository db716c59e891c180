"""What would close the gap, and by how much: each as a line of the scenario.

Measured where the run has the same backend with that one change at the same load, paired by round;
else what the parts that the change can touch take together, which is the most that it can save.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.best import usable
from harness.analysis.intervals import Interval
from harness.analysis.speedup import cell
from harness.analysis.summary import SummaryRow
from harness.gap.parts import PARTS, Gap, in_both, t_interval
from harness.scenario.wording import counted

Spec = Mapping[str, object]
"""A backend as the manifest has it, with what a config of its sets."""
FEW = 0.02
"""Parts below this share of the end-to-end time are not worth a change."""
PLAIN = frozenset({"name", "client_processes"})
"""Keys that say nothing of how a request is served."""
_CARRIED = ("framing", "wire", "outside", "client")


@dataclass(frozen=True, slots=True)
class Advice:
    """One change of the served backend's entry."""

    line: str
    """As the scenario has it."""
    saves: Interval | None
    """Measured, in ms of mean latency; None where the run does not have it."""
    at_most_ms: float | None
    """Estimated: all that the parts it can touch take; None where it was measured."""
    why: str


@dataclass(frozen=True, slots=True)
class Option:
    """A change that may be worth it: the key it changes, to what, and the parts it can touch."""

    key: str
    to: Callable[[Spec, Gap], str | None]
    """The value as YAML; None where it can't apply."""
    parts: tuple[str, ...]


def _other(key: str, **values: str) -> Option:
    """The value of `key` that stands beside the one it has."""
    return Option(key, lambda spec, _: values.get(str(spec.get(key))), _CARRIED)


def _instances(spec: Spec, gap: Gap) -> str | None:
    found = spec.get("instances") or 1
    return str(2 * found) if isinstance(found, int) and gap.served.concurrency != 1 else None


def _batching(spec: Spec, gap: Gap) -> str | None:
    if spec.get("dynamic_batching"):  # one caller waits for a batch that nobody joins
        return "false" if gap.served.concurrency == 1 else None
    return "true" if gap.served.concurrency != 1 else None


def _native(spec: Spec, _: Gap) -> str | None:
    server = spec.get("server")
    here = server.get("native") if isinstance(server, Mapping) else None
    own = isinstance(server, Mapping) and not server.get("docker") and not here
    return (
        "{docker: {image: …}, native: true}" if spec.get("serve") == "onnxruntime" and own else None
    )


OPTIONS = (
    _other("io", host="shared_memory"),
    _other("protocol", http="grpc", grpc="http"),
    _other("client", tritonclient="wire"),
    Option("instances", _instances, ("queue",)),
    Option("dynamic_batching", _batching, ("queue",)),
    Option("server", _native, ("compute", "input", "output")),
)


def advice(gap: Gap, specs: Iterable[Spec], rows: Iterable[SummaryRow]) -> list[Advice]:
    """What the run measured first, by what it saved; then what may be worth a try, by the most
    that it can save.

    `specs` are those of `effective` for every backend and config of the run, `rows` its points.
    """
    specs, rows = list(specs), list(rows)
    own = next((s for s in specs if _is(s, gap.served)), None)
    if own is None:
        return []
    found = _measured(gap, own, specs, rows)
    measured = sorted(found, key=lambda a: -a.saves.value if a.saves else 0.0)
    tried = {a.line.partition(":")[0] for a in measured}
    estimated = [a for a in _estimated(gap, own) if a.line.partition(":")[0] not in tried]
    return [*measured, *sorted(estimated, key=lambda a: -(a.at_most_ms or 0.0))]


def effective(spec: Spec, config: str, settings: Mapping[str, object]) -> Spec:
    """A backend's entry as one of its configs is served."""
    return {**spec, **settings, "config_name": config}


def _is(spec: Spec, row: SummaryRow) -> bool:
    return (spec.get("name"), spec.get("config_name")) == (row.backend, row.config)


def _measured(
    gap: Gap, own: Spec, specs: Sequence[Spec], rows: Sequence[SummaryRow]
) -> Iterator[Advice]:
    for spec in specs:
        changed = differing(own, spec)
        here = (r for r in rows if _is(spec, r) and cell(r) == cell(gap.served))
        other = next(filter(usable, here), None)
        if len(changed) != 1 or other is None or spec.get("kind") != own.get("kind"):
            continue
        saved = [
            a.latency_mean_ms - b.latency_mean_ms for a, b in in_both(gap.served, other)
            if a.latency_mean_ms is not None and b.latency_mean_ms is not None
        ]  # fmt: skip
        if saved:
            key = changed[0]
            rounds = counted(len(saved), "round")
            why = f"measured: {other.point} against {gap.served.point}, {rounds}"
            yield Advice(f"{key}: {_yaml(spec.get(key))}", t_interval(saved), None, why)


def _estimated(gap: Gap, own: Spec) -> Iterator[Advice]:
    for option in OPTIONS:
        to, takes = option.to(own, gap), gap.part(*option.parts)
        if to is not None and takes > FEW * gap.end_to_end.value:
            names = " + ".join(PARTS[p].lower() for p in option.parts if gap.part(p))
            yield Advice(f"{option.key}: {to}", None, takes, f"estimated: {names}")


def differing(a: Spec, b: Spec) -> list[str]:
    """The keys in which two backends are served differently."""
    keys = dict.fromkeys([*a, *b])
    return [k for k in keys if k not in PLAIN | {"config_name"} and a.get(k) != b.get(k)]


def _yaml(value: object) -> str:
    """A value in one line, as a scenario may have it."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{k}: {_yaml(v)}" for k, v in value.items() if v is not None)
        return f"{{{inner}}}"
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    return str(value)
