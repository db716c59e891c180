"""One Triton over several GPUs: throughput by their number, and how much of it each one brings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.analysis.best import at_decisive
from harness.analysis.intervals import Interval
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import Cell, Table, figure, interval_cell, listing, word
from harness.report.model.context import Context
from harness.report.model.labels import load_label
from harness.report.model.numbers import NOT_AVAILABLE
from harness.report.model.section import Section, TableBlock, Text

_GPUS = re.compile(r"\bgpus\s*:\s*\[?([\d,\s]+)")


@dataclass(frozen=True, slots=True)
class Scaled:
    """The best load of a configuration at one batch size."""

    gpus: int
    row: SummaryRow
    speed_up: Interval | None
    """Over the configuration with the fewest GPUs."""
    fewest: int

    @property
    def efficiency(self) -> Interval | None:
        """The speed-up over what as many times the GPUs would bring: 1 is all of it."""
        if (found := self.speed_up) is None:
            return None
        part = self.fewest / self.gpus
        low, high = (None if end is None else end * part for end in (found.low, found.high))
        return Interval(found.value * part, low, high, found.rounds)


def gpus_of(config: str) -> int:
    """How many GPUs the instance groups of a config.pbtxt name; 0 where they name none."""
    return len({n for found in _GPUS.findall(config) for n in re.findall(r"\d+", found)})


def section(context: Context) -> Section | None:
    """None where no two configurations have different numbers of GPUs."""
    found = scaled(context)
    if not found:
        return None
    note = (
        "The instance groups of these configurations name different numbers of GPUs. Each is shown "
        "at the load at which it answers most: more GPUs need more requests at a time. Efficiency "
        "is the speed-up over as many times the GPUs; where it falls, look at which is busy: the "
        "GPUs, the server's cores, or the client's."
    )
    table = TableBlock(_table(context, found), "Throughput by number of GPUs")
    return Section("gpus", "Several GPUs", (Text(note), table))


def scaled(context: Context) -> list[Scaled]:
    """A line for each batch size and configuration, fewest GPUs first."""
    counts = {name: gpus_of(text) for name, text in context.configs.items()}
    counts = {name: count for name, count in counts.items() if count}
    if len(set(counts.values())) < 2:
        return []
    rows = [
        r
        for r in at_decisive(context.rows)
        if r.valid and r.throughput and context.name(r) in counts
    ]
    best: dict[tuple[int, str], SummaryRow] = {}
    for row in sorted(rows, key=lambda r: r.plain("throughput") or 0.0):
        best[row.batch_size, context.name(row)] = row
    lines = []
    for batch in sorted({batch for batch, _ in best}):
        mine = sorted(
            (row for (size, _), row in best.items() if size == batch),
            key=lambda r: counts[context.name(r)],
        )
        fewest = counts[context.name(mine[0])]
        for row in mine:
            more = context.differences.advantage(row, mine[0], THROUGHPUT)
            lines.append(Scaled(counts[context.name(row)], row, more, fewest))
    return lines


def _table(context: Context, found: Iterable[Scaled]) -> Table:
    return listing(found, {
        "GPUs": lambda s: figure(str(s.gpus)),
        "Configuration": lambda s: word(context.name(s.row)),
        "Batch": lambda s: figure(str(s.row.batch_size)),
        "Load": lambda s: figure(load_label(s.row)),
        "Throughput (infer/s)": lambda s: interval_cell(s.row.throughput),
        "Speed-up": lambda s: interval_cell(s.speed_up),
        "Efficiency": lambda s: interval_cell(s.efficiency),
        "GPU busy, each (%)": lambda s: _each(s.row, "utilization_percent"),
        "GPU memory, each (MiB)": lambda s: _each(s.row, "memory_used_mib"),
        "Server cores": lambda s: _mean(m.cpu_cores for m in s.row.measurements),
        "Client cores": lambda s: _mean(
            None if m.client_cpu_percent is None else m.client_cpu_percent / 100
            for m in s.row.measurements
        ),
    })  # fmt: skip


def _each(row: SummaryRow, key: str) -> Cell:
    """A gauge of each GPU that the server sees, mean over the rounds, ordered by UUID."""
    seen: dict[str, list[float]] = {}
    for m in row.measurements:
        gpus: Mapping[str, Mapping[str, float]] = (m.details.get("metrics") or {}).get("gpus") or {}
        for uuid, gauges in gpus.items():
            if key in gauges:
                seen.setdefault(uuid, []).append(gauges[key])
    means = (math.fsum(v) / len(v) for _, v in sorted(seen.items()))
    return figure(" · ".join(f"{mean:,.0f}" for mean in means) or NOT_AVAILABLE)


def _mean(values: Iterable[float | None]) -> Cell:
    known = [v for v in values if v is not None]
    return figure(f"{math.fsum(known) / len(known):.2f}" if known else NOT_AVAILABLE)
