"""What `harness plan` does: a run in, the plan shown, its files written."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from harness.errors import UsageError
from harness.plan.deployment import Service, dns_label
from harness.plan.files import write_files
from harness.plan.outputs import json_text, page
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.sizing import Demand
from harness.plan.units import share_of
from harness.results.store import read_run
from harness.scenario.units import parse_positive_duration


def demand_of(rate: float, slo_p99: str, headroom: str, growth: str) -> Demand:
    """The demand as the command line has it; raises UsageError on a text that is none."""
    try:
        target_ms = parse_positive_duration(slo_p99) * 1000
    except ValueError as error:
        raise UsageError(f"--slo-p99: {error}", fix="write it as 20ms") from error
    left = share_of(headroom)
    if left >= 1:
        raise UsageError("--headroom must be below 100%", fix="write it as 20%")
    return Demand(rate, round(target_ms, 9), left, share_of(growth))


def service_of(plan: Plan, name: str | None, image: str, models: str) -> Service:
    """What the plan deploys, under a name that Kubernetes takes."""
    point = plan.sized.candidate.point
    return Service(
        dns_label(name or point), point, plan.kind == "triton", plan.sized.replicas,
        plan.sized.replicas_now, plan.sized.load, image, models,
    )  # fmt: skip


def carry_out(
    run_dir: Path, demand: Demand, asked: Asked, name: str | None, image: str, models: str,
    output: Path | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Plan, write the files, and show the plan."""
    data = read_run(run_dir)
    for text in data.damage:
        click.echo(text, err=True)
    plan = make_plan(data, demand, asked)
    written = []
    if output is not None:
        written = write_files(plan, service_of(plan, name, image, models), output)
    if as_json:
        click.echo(json_text(plan), nl=False)
    else:
        Console().print(page(plan), highlight=False)
    if written:
        click.echo(f"{len(written)} files in {output}", err=as_json)
