"""From ResNet-50 in process to the same on Triton, on a GPU: do the parts add up?

    python benchmarks/gpu/gap_resnet50.py --output OUT              two minutes and a half
    python benchmarks/gpu/gap_resnet50.py --page OUT docs/benchmarks

`scenarios/gap-gpu.yaml` in three short rounds (`--quick`: two, 90 seconds): HTTP and gRPC, with and
without shared memory, 1 and 8 callers. OUT/gap.json has each part of each round, OUT/gap the run
itself. `--device cpu` tries it with ONNX Runtime on the CPU and a small model.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gpubench
import pages

from harness.analysis.intervals import Interval
from harness.gap.parts import PARTS, Gap, in_both, round_parts
from harness.report.model.context import build_context
from harness.report.sections.gap import by_pair
from harness.results.store import read_run
from harness.scenario.wording import signed
from harness.system.environment import child_env, module_command

SCENARIO = gpubench.ROOT / "scenarios" / "gap-gpu.yaml"
LIMIT = 0.05
SHORT = ("warmup=300ms", "window=1s", "window_requests=100", "window_max=3s")
REST = ("outside", "unexplained")


def measure(asked: Any) -> dict[str, Any]:
    """The run, and its gaps."""
    count = 2 if asked.quick else 3
    sets = [f"measurement.{t}" for t in (*SHORT, f"rounds={count}", f"rounds_max={count}")]
    folder = asked.output / "gap"
    if asked.device == "cpu":
        sets += [f"model={json.dumps(gpubench.SMALL)}", *on_cpu()]
    argv = ["run", str(SCENARIO), "--output", str(folder), "--quiet", "--no-report",
            *(word for text in sets for word in ("--set", text))]  # fmt: skip
    done = subprocess.run(
        [*module_command("harness"), *argv], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parent, env=child_env({}),
    )  # fmt: skip
    if not (folder / "manifest.json").exists():
        raise gpubench.ChildError(done.stderr.strip()[-600:])
    context = build_context(read_run(folder))
    return {
        "exit_code": done.returncode, "command": ["harness", *argv],
        "gaps": [as_json(gap) for pair in by_pair(context) for gap in pair],
        "failures": [f"{f.point}, round {f.round + 1}: {f.message}"
                     for f in context.data.failures],
    }  # fmt: skip


def on_cpu() -> list[str]:
    """What makes the scenario's backends run without a GPU."""
    return ["backends[0].provider=CPUExecutionProvider",
            *(f"backends[{n}].device=cpu" for n in range(1, 5))]  # fmt: skip


def as_json(gap: Gap) -> dict[str, Any]:
    """Everything of a gap: over rounds with intervals, and each round's own."""
    rounds = [
        {"in_process_ms": base.latency_mean_ms, "end_to_end_ms": row.latency_mean_ms,
         "parts_ms": round_parts(row, base.latency_mean_ms or 0.0, traced=gap.traced > 0)}
        for base, row in in_both(gap.native, gap.served) if row.server_us
    ]  # fmt: skip
    return {
        "served": gap.served.backend, "native": gap.native.backend,
        "concurrency": gap.served.concurrency, "traced": gap.traced,
        "in_process": asdict(gap.in_process), "end_to_end": asdict(gap.end_to_end),
        "parts": {part.name: asdict(part.ms) for part in gap.parts},
        "unexplained_share": gap.part(*REST) / gap.end_to_end.value,
        "flags": list(gap.served.every_flag), "rounds": rounds,
    }  # fmt: skip


def page(record: Mapping[str, Any]) -> pages.Page:
    """What was found."""
    run = record["cases"]["gap"]
    gaps = run["gaps"]
    alone = [g for g in gaps if g["concurrency"] == 1]
    held = sum(abs(g["unexplained_share"]) <= LIMIT and g["traced"] > 0 for g in alone)
    shown = [n for n in PARTS if n not in REST]
    rounds = max((len(g["rounds"]) for g in gaps), default=0)
    lines = [
        *pages.opening(record, "python benchmarks/gpu/gap_resnet50.py --output OUT",
                    "python benchmarks/gpu/gap_resnet50.py --page OUT docs/benchmarks",
                    trial="A trial of the script, not a measurement."),
        f"`scenarios/gap-gpu.yaml` in {rounds} short rounds, batch 1; mean latency in ms. The "
        "parts are those of [gap.md](../gap.md), each measured by itself, not scaled to fit.", "",
        f"**Unexplained at most {LIMIT:.0%} of the end-to-end time at one caller: {held} of "
        f"{len(alone)} ways to the model.**", "",
        *pages.table(
            ("served", "callers", "in process", *(PARTS[n].lower() for n in shown), "unexplained",
             "end to end", "unexplained of it"),
            [(g["served"], str(g["concurrency"]), _shown(g["in_process"]),
              *(_shown(g["parts"].get(n)) for n in shown),
              pages.number(sum(g["parts"].get(n, {}).get("value", 0.0) for n in REST)),
              _shown(g["end_to_end"]), signed(g["unexplained_share"], ".1%")) for g in gaps],
        ),
        *(["", "Not measured:", "", *(f"- {why}" for why in run["failures"])]
          if run["failures"] else []),
    ]  # fmt: skip
    return pages.Page("gap", "From ResNet-50 in process to served, on a GPU", lines)


def _shown(part: Mapping[str, Any] | None) -> str:
    return "–" if part is None else pages.measured(Interval(**part), 3)


def main() -> None:
    gpubench.run_alone("gap", __doc__, measure, page)


if __name__ == "__main__":
    main()
