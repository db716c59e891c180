"""`harness stress`: a Triton server under a shape of load and faults, driven by Locust."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from harness.system import options

MASTER = "127.0.0.1:5557"


@click.command(name="stress")
@click.argument("scenario", type=options.PATH)
@options.overrides
@options.output
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that make the load; with --master, workers to wait for.",
)  # fmt: skip
@click.option(
    "--master", is_flag=False, flag_value=MASTER, metavar="[ADDRESS:PORT]",
    help=f"Wait for workers from other hosts; on {MASTER} unless an address is given.",
)  # fmt: skip
@click.option(
    "--worker", metavar="HOST:PORT", help="Make load for the master there; no report is written."
)
@click.option("--web", type=options.PORT, metavar="PORT", help="Locust's page, on 127.0.0.1.")
@options.metrics_port
@click.option("--report/--no-report", "report", default=True, help="Write the HTML report.")
@options.quiet
@options.events
def command(
    scenario: Path, overrides: tuple[str, ...], output: Path | None, workers: int,
    master: str | None, worker: str | None, web: int | None, metrics_port: str | None,
    report: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Put the Triton server of SCENARIO under the load, and through the faults, of its `stress`.

    Exit codes: 0 every threshold holds; 1 one is broken, or the run ended early; 2 the scenario is
    wrong; 3 this machine lacks something; 4 a threshold can't be judged, or part of the load was
    lost; 130 interrupted.
    """
    from harness.errors import UsageError
    from harness.monitor.prometheus import served
    from harness.scenario.reading.loader import load
    from harness.stress.front import stress, work
    from harness.stress.prometheus import StressMetrics
    from harness.swarm.generator import Where, require_engine

    require_engine()
    loaded = load(scenario, overrides)
    if worker is None:
        metrics = StressMetrics() if metrics_port else None
        with served(metrics.registry, str(metrics_port)) if metrics else nullcontext():
            return stress(
                loaded, output, Where(workers, master or "", web or 0), quiet=quiet,
                as_json=as_json, report=report, also=metrics.take if metrics else None,
            )  # fmt: skip
    if master is not None or output is not None:
        raise UsageError("--worker goes with neither --master nor --output")
    return work(loaded, worker)
