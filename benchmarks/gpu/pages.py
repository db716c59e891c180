"""Markdown pages of the GPU benchmarks: numbers, tables, and what they were measured on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.analysis.intervals import Interval

MIB = 2**20
SHOWN = (
    "torch", "nvidia-cudnn-cu13", "nvidia-cublas", "onnxruntime-gpu", "onnxruntime",
    "tensorrt-rtx-cu13", "tensorrt-cu13", "pycuda", "cuda-bindings", "numpy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `gpu-<name>.md`."""

    name: str
    title: str
    lines: Sequence[str]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"gpu-{self.name}.md"
        path.write_text("\n".join([f"# {self.title}", "", *self.lines]).rstrip() + "\n", "utf-8")
        return path


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, thousands with commas; a dash for None."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def mib(size: float | None) -> str:
    """Bytes as MiB."""
    return "–" if size is None else f"{size / MIB:,.1f}"


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def measured(found: Interval | None, digits: int = 4) -> str:
    """The value and, in brackets, its interval; `≥` before what is a lower bound only."""
    if found is None:
        return "–"
    shown = f"{found.value:,.{_decimals(found.value, digits)}f}"
    if found.at_least:
        return f"≥ {shown}"
    if found.low is None or found.high is None:
        return shown
    decimals = _decimals(found.value, digits)
    return f"{shown} [{found.low:,.{decimals}f}, {found.high:,.{decimals}f}]"


def _decimals(value: float, digits: int) -> int:
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return max(0, digits - whole)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table, the first column to the left and the others to the right."""
    line = "|" + "|".join(["---"] + ["---:"] * (len(head) - 1)) + "|"
    return [f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows)]


def opening(
    record: Mapping[str, Any], *commands: str, trial: str = "", versions: Iterable[str] = ()
) -> list[str]:
    """How a page begins: its machine, the commands that make it, `trial` where it had no GPU."""
    warned = [f"**{trial}**", ""] if trial and record["device"] != "cuda" else []
    return [*machine_lines(record, versions), "", "```", *commands, "```", "", *warned]


def machine_lines(record: Mapping[str, Any], versions: Iterable[str] = ()) -> list[str]:
    """What it was measured on, in two sentences; `record` has `machine` and `packages`."""
    machine, packages = record["machine"], record["packages"]
    found = Counter(
        f"{g['name']} ({g['memory_mib']:,} MiB, driver {g['driver']}, CUDA {g['cuda']})"
        for g in machine["gpus"]
    )
    gpus = [name if count == 1 else f"{count} × {name}" for name, count in found.items()]
    cpu = machine["cpu"]
    when = str(record.get("started") or record.get("created"))[:10]
    known = [f"{name} {packages[name]}" for name in SHOWN if name in packages]
    return [
        f"Measured {when} on {' and '.join(gpus) or 'a machine without a GPU'}, "
        f"{cpu['model']} with {cpu['usable']} cores, {machine['os']}, Python {machine['python']}. "
        f"{', '.join([*known, *versions])}.",
    ]
