"""The columns of operators, layers and kernels: one table for every runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from harness.profile.bound import scaled
from harness.profile.result import BackendProfile, BatchProfile, Row
from harness.profile.split import Roof

NONE = "n/a"
Say = Callable[[Row, BackendProfile], str]


def longest(batch: BatchProfile, count: int) -> list[Row]:
    """The operators and layers that take most, of whatever runtime; no kernels."""
    rows = [r for r in (*batch.rows, *batch.layers) if r.source != "kernel"]
    return sorted(rows, key=lambda r: -r.us)[:count]


def roof_of(backend: BackendProfile) -> Roof | None:
    """The ceilings in its own precision."""
    return Roof.of(backend.ceilings, str(backend.settings.get("precision") or "fp32"))


def _rate(row: Row, backend: BackendProfile, *, compute: bool) -> str:
    amount = row.flop if compute else row.bytes
    if not amount or row.us <= 0:
        return NONE
    rate, roof = amount / row.us * 1e6, roof_of(backend)
    ceiling = None if roof is None else roof.gemm if compute else roof.copy
    share = "" if ceiling is None else f" ({rate / ceiling:.0%})"
    return f"{scaled(rate)}{'FLOP/s' if compute else 'B/s'}{share}"


def size_text(size: float) -> str:
    """Bytes with a binary prefix."""
    for prefix, unit in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= unit:
            return f"{size / unit:.3g} {prefix}"
    return f"{size:.0f} B"


COLUMNS: Mapping[str, Say] = {
    "by": lambda r, _: r.source,
    "operator or layer": lambda r, _: r.name,
    "type": lambda r, _: "" if r.kind == r.name else r.kind,
    "shapes": lambda r, _: r.shape,
    "calls": lambda r, _: f"{r.calls:.4g}",
    "µs a request": lambda r, _: f"{r.us:,.1f}",
    "share": lambda r, _: f"{r.share:.1%}",
    "side": lambda r, _: r.side or NONE,
    "reaches (of ceiling)": lambda r, b: _rate(r, b, compute=r.side != "memory"),
}
"""Heading → what it says of a row."""


def by_name(rows: Iterable[Row]) -> list[tuple[str, float, float]]:
    """Operator without its shapes, its share, and the memory that it took; the longest first."""
    found: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row.source != "kernel":
            share, taken = found.get(row.kind, (0.0, 0.0))
            found[row.kind] = share + row.share, taken + row.memory_bytes
    ordered = sorted(found.items(), key=lambda item: -item[1][0])
    return [(name, share, taken) for name, (share, taken) in ordered]
