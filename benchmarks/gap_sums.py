"""Do the parts add up? A page from a run of scenarios/gap-cpu.yaml.

python -m harness run scenarios/gap-cpu.yaml -o runs/gap
python benchmarks/gap_sums.py runs/gap --output docs/benchmarks/gap-sums.md
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness.gap.parts import PARTS, Gap
from harness.gap.words import ms
from harness.report.model.context import Context, build_context
from harness.report.model.manifest_facts import hardware_line, mapping
from harness.report.sections.gap import by_pair
from harness.results.store import read_run
from harness.scenario.wording import signed

LIMIT = 0.05


def rows(gaps: Iterable[Gap]) -> list[str]:
    """A line of the table a load."""
    shown = [n for n in PARTS if n not in ("outside", "unexplained")]
    lines = [
        "| served | callers | in process | " + " | ".join(PARTS[n].lower() for n in shown)
        + " | unexplained | end to end | unexplained of it |",
        "|---|---|---|" + "---|" * (len(shown) + 3),
    ]  # fmt: skip
    for gap in gaps:
        parts = [ms(gap.part(n)) for n in shown]
        rest = gap.part("unexplained", "outside")
        lines.append(
            f"| {gap.served.backend} | {gap.served.concurrency} | {ms(gap.in_process.value)} | "
            + " | ".join(parts)
            + f" | {ms(rest)} | {ms(gap.end_to_end.value)} | "
            + f"{signed(rest / gap.end_to_end.value, '.1%')} |"
        )
    return lines


def page(context: Context) -> str:
    """The whole page."""
    gaps = [gap for each in by_pair(context) for gap in each]
    alone = [g for g in gaps if g.served.concurrency == 1]
    near = [g for g in alone if abs(g.part("unexplained")) <= LIMIT * g.end_to_end.value]
    held = sum(g.traced > 0 for g in near)
    packages = mapping(context.manifest, "packages")
    versions = ", ".join(f"{n} {packages[n]}" for n in ("onnxruntime", "nvidia-pytriton")
                         if packages.get(n))  # fmt: skip
    lost = [
        mapping(m.details, "cpu_percent_lost").get("foreign")
        for g in gaps for m in (*g.native.measurements, *g.served.measurements)
    ]  # fmt: skip
    foreign = [float(str(v)) for v in lost if v is not None]
    return "\n".join([
        "# Do the parts add up to what the client sees?", "",
        f"{context.model} on {hardware_line(context.manifest)}; {versions}. "
        f"{gaps[0].rounds} rounds, {sum(g.traced for g in gaps):,} requests traced. Mean latency "
        "in ms. The parts are those of [gap.md](../gap.md), each measured by itself.", "",
        f"**Unexplained at most {LIMIT:.0%} of the end-to-end time at one caller: {held} of "
        f"{len(alone)} ways to the model.**", "",
        *rows(gaps), "",
        f"Other processes used {statistics.median(foreign):.0f} % of the processors in the median "
        "window: the shares say whether parts add up, the times say nothing of this model."
        if foreign else "", "",
        "Reproduce: `harness run scenarios/gap-cpu.yaml -o runs/gap`, then "
        "`python benchmarks/gap_sums.py runs/gap --output docs/benchmarks/gap-sums.md`", "",
    ])  # fmt: skip


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    text = page(build_context(read_run(arguments.run)))
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
