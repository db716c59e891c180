"""Model Analyzer's GPU memory and ours, of the same recorded runs: where it would have been wrong.

    python benchmarks/memory_definitions.py RUN_DIR … [--output docs/benchmarks]

Model Analyzer's is the largest of samples a second apart of the whole device, taken while it sends
requests, in MB of 10^6 bytes. Ours is the largest reading (200 a second) of what the processes of
the replica hold, from the start of their session until the window ends, in MiB. The runs have the
readings of both; the first sample is put at ten moments of the first second, as nobody says where
it falls. Writes gpu-memory-definitions.md and .json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.results.series import Quantity, TelemetrySeries, each, read_parquet
from harness.results.store import RunData, read_run
from harness.scenario.wording import signed
from harness.system.files import jsonable

MIB = 2**20
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks"
PAGE = "gpu-memory-definitions"
PHASES = np.arange(0, 1, 0.1)
ROOM = 1.1
"""A request is what was found and 10 %, whichever way."""


def device_of(run: Path) -> list[TelemetrySeries]:
    """Readings of the whole device, a series a session."""
    files = sorted((run / "telemetry").glob("*.parquet"))
    return [s for file in files for s in each(read_parquet(file), Quantity.DEVICE_BYTES)]


def sampled(series: Iterable[TelemetrySeries], begin_ns: int, end_ns: int) -> NDArray[np.float64]:
    """The largest of samples a second apart in a window, MiB, for each moment of the first; at
    least one sample is taken.
    """
    for one in series:
        inside = (one.t_ns >= begin_ns) & (one.t_ns <= end_ns)
        if not inside.any():
            continue
        t, value = one.t_ns[inside], one.value[inside]
        found = []
        for phase in PHASES:
            times = np.arange(t[0] + phase * 1e9, t[-1] + 1, 1e9)
            place = np.searchsorted(t, times, side="right") - 1
            found.append(value[place].max() if len(place) else value[-1])
        return np.array(found) / MIB
    return np.array([])


def of_run(data: RunData) -> list[dict[str, Any]]:
    """Each point with both."""
    series = device_of(data.path)
    found: dict[str, dict[str, Any]] = {}
    for row in data.measurements:
        seen = sampled(series, row.window_begin_ns, row.window_end_ns)
        if row.gpu_memory_mib is None or row.gpu_memory_scope != "process" or not seen.size:
            continue
        point = found.setdefault(row.point, {
            "point": row.point, "backend": row.backend, "process_mib": 0.0, "short_mib": -np.inf,
            "high_mib": 0.0,
        })  # fmt: skip
        point["process_mib"] = max(point["process_mib"], row.gpu_memory_mib)
        point["short_mib"] = max(point["short_mib"], row.gpu_memory_mib - float(seen.min()))
        point["high_mib"] = max(point["high_mib"], float(seen.max()))
    return list(found.values())


def record(runs: Sequence[Path]) -> dict[str, Any]:
    """Of all runs, with the card."""
    every = [read_run(run) for run in runs]
    gpus = every[0].manifest["machine"]["gpus"]
    rows = [
        {"run": str(data.manifest["scenario"]["scenario"]), **row}
        for data in every for row in of_run(data)
    ]  # fmt: skip
    idle = min(float(s.value.min()) for data in every for s in device_of(data.path)) / MIB
    return {"card": gpus[0]["name"], "card_mib": gpus[0]["memory_mib"], "idle_mib": idle,
            "points": rows}  # fmt: skip


def page(data: Mapping[str, Any]) -> str:
    """What each would ask for, backend by backend."""
    points, card = data["points"], data["card_mib"]
    lines = [
        f"# GPU memory by two definitions: {len(points)} recorded points", "",
        "Written by `python benchmarks/memory_definitions.py RUN_DIR …` from runs that were "
        f"recorded on {data['card']}.", "",
        "*Model Analyzer's* is the largest of samples a second apart of the whole device while "
        "requests are sent; *ours* the largest of 200 readings a second of the replica's own "
        "processes, from their start. Both from the same telemetry; a request is either and 10 %.",
        "",
        f"An empty card already reads {data['idle_mib']:,.0f} MiB, which no replica holds and no "
        "cap counts: by Model Analyzer's definition each replica is asked it anew.", "",
        "| backend | points | ours, MiB | Model Analyzer's, MiB | more by | as many on a card "
        "| below ours |", "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        _row(backend, [p for p in points if p["backend"] == backend], card)
        for backend in dict.fromkeys(p["backend"] for p in points)
    ]
    extra = [p["high_mib"] / p["process_mib"] - 1 for p in points]
    worst = points[int(np.argmax(extra))]
    less = [p for p in points if p["short_mib"] > 0]
    lines += [
        "", "Ranges are over the points of a backend. *As many on a card*: of the first point, by "
        "ours → by Model Analyzer's, memory alone. *Below ours*: points whose samples may all miss "
        "what the processes held in the same round, as while a model is loaded.", "",
        f"* Too much: the most is asked of `{worst['point']}`, {worst['high_mib']:,.0f} MiB for "
        f"{worst['process_mib']:,.0f} ({signed(max(extra), '.0%')}).",
        f"* Too little: {len(less)} of {len(points)} points" + (
            f", by up to {max(p['short_mib'] for p in less):,.0f} MiB." if less else ": what these "
            "runs' processes held at most they held in the window too."),
        "* Units: its MB are of 10^6 bytes. 1,000 of its MB are 954 MiB; taken for MiB, as "
        "`gpumemory` of HAMi or MPS is written, 4.9 % more is asked.",
        "* Beside others it counts them too: of one of four tenants it says what all four hold.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _row(backend: str, points: Sequence[Mapping[str, Any]], card: float) -> str:
    ours, theirs = [p["process_mib"] for p in points], [p["high_mib"] for p in points]
    more = [b / a - 1 for a, b in zip(ours, theirs, strict=True)]
    fits = [int(card // (ROOM * mib)) for mib in (ours[0], theirs[0])]
    below = sum(p["short_mib"] > 0 for p in points)
    return (
        f"| {backend} | {len(points)} | {_range(ours, ',.0f')} | {_range(theirs, ',.0f')} "
        f"| {_range(more, '+.0%')} | {fits[0]} → {fits[1]} | {below} |"
    )


def _range(values: Sequence[float], form: str) -> str:
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    found = record(args.runs)
    text = json.dumps(jsonable(found), indent=1)
    (args.output / f"{PAGE}.json").write_text(text, encoding="utf-8")
    (args.output / f"{PAGE}.md").write_text(page(found), encoding="utf-8")
    print(args.output / f"{PAGE}.md")


if __name__ == "__main__":
    main()
