"""One Triton over the GPUs of a host: throughput by their number, and what each one brings.

    python benchmarks/gpu/triton_gpus.py --output OUT          about 90 seconds with two GPUs
    python benchmarks/gpu/triton_gpus.py --page OUT docs/benchmarks

`scenarios/triton-gpus.yaml` with the backends that the host has GPUs for, in short rounds. The page
is the report's section "Several GPUs". `--device cpu` tries the script with one and two instances
on processors, which have no such section.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gpubench
import pages
from ruamel.yaml import YAML

from harness.report.model.context import Context, build_context
from harness.report.model.section import TableBlock
from harness.report.sections.scaling import section
from harness.results.store import read_run
from harness.system.environment import child_env, module_command
from harness.system.machine import probe_gpus

SCENARIO = gpubench.ROOT / "scenarios" / "triton-gpus.yaml"
SHORT = ("measurement.rounds=3", "measurement.rounds_max=3", "measurement.warmup=300ms",
         "measurement.window=1s", "measurement.window_max=3s", "measurement.window_requests=50",
         "load.concurrency=[4,16,32]")  # fmt: skip


def backends(count: int) -> list[dict[str, Any]]:
    """The scenario's whose GPUs are there."""
    every = YAML(typ="safe").load(SCENARIO.read_text("utf-8"))["backends"]
    return [
        b for b in every
        if all(n < count for group in b["config"]["instance_group"] for n in group["gpus"])
    ]  # fmt: skip


def on_cpu() -> list[dict[str, Any]]:
    """One and two instances without a GPU."""
    plain = {"kind": "triton", "protocol": "grpc", "serve": "onnxruntime", "device": "cpu"}
    return [{**plain, "name": f"cpu-{n}", "instances": n} for n in (1, 2)]


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """The run, and the section's table."""
    cpu = asked.device == "cpu"
    chosen = on_cpu() if cpu else backends(len(probe_gpus()[0]))
    sets = [f"backends={json.dumps(chosen)}", *SHORT, *asked.set]
    sets += [f"model={json.dumps(gpubench.SMALL)}"] if cpu else []
    folder = asked.output / "triton-gpus"
    argv = ["run", str(SCENARIO), "--output", str(folder), "--quiet", "--no-report",
            *(word for text in sets for word in ("--set", text))]  # fmt: skip
    done = subprocess.run(
        [*module_command("harness"), *argv], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parent, env=child_env({}),
    )  # fmt: skip
    if not (folder / "manifest.json").exists():
        raise gpubench.ChildError(done.stderr.strip()[-600:])
    return {
        "exit_code": done.returncode, "command": ["harness", *argv],
        **found_in(build_context(read_run(folder))),
    }  # fmt: skip


def found_in(context: Context) -> dict[str, Any]:
    """The section's table, and each round's throughput."""
    found = section(context)
    tables = [b.table for b in found.blocks if isinstance(b, TableBlock)] if found else []
    return {
        "columns": [h.text for t in tables for h in t.headers],
        "rows": [[f"{c.text} {c.range}".strip() for c in row] for t in tables for row in t.rows],
        "points": {row.point: row.per_round("throughput") for row in context.rows},
        "failures": [f"{f.point}, round {f.round + 1}: {f.message}"
                     for f in context.data.failures],
    }  # fmt: skip


def page(record: Mapping[str, Any]) -> pages.Page:
    """What was found."""
    run = record["cases"]["triton-gpus"]
    lines = [
        *pages.opening(record, "python benchmarks/gpu/triton_gpus.py --output OUT",
                    "python benchmarks/gpu/triton_gpus.py --page OUT docs/benchmarks"),
        "`scenarios/triton-gpus.yaml` in three short rounds: ResNet-50 by ONNX Runtime's CUDA "
        "provider in the embedded Triton's Python backend, two instances on each GPU, each number "
        "of GPUs at the load at which it answers most. Efficiency is the speed-up over as many "
        "times the GPUs; what bounds it is what is busy: the GPUs, the server's cores, or the "
        "client's ([how](../many-gpus.md#one-triton-over-several-gpus)).", "",
        *(pages.table(run["columns"], run["rows"]) if run["rows"] else
          ["No two configurations with different numbers of GPUs were measured."]),
        *(["", "Not measured:", "", *(f"- {why}" for why in run["failures"])]
          if run["failures"] else []),
    ]  # fmt: skip
    return pages.Page("triton-gpus", "One Triton over several GPUs", lines)


def main() -> None:
    gpubench.run_alone("triton-gpus", __doc__, measure, page)


if __name__ == "__main__":
    main()
