"""What `harness plan` does: a run in, the plan shown, its files written."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from shutil import which

import click
from rich.console import Console

from harness.errors import HarnessError, InconclusiveError, UsageError
from harness.plan.deployment import Service, dns_label
from harness.plan.files import write_files
from harness.plan.outputs import json_text, no_files, page
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.proving import Proof, Trial, prove
from harness.plan.sizing import Demand
from harness.plan.trial import PARTIAL, Trials, Watches, what_is_capped
from harness.plan.units import share_of
from harness.results.store import RunData, read_run
from harness.run.execute import default_directory
from harness.scenario.units import parse_positive_duration
from harness.scenario.wording import counted
from harness.system.faults import cant_write
from harness.system.limits.gpu import DAEMON
from harness.tenants.results import KIND as SHARING

MOST_RATE = 1e12
"""Inferences a second that a plan is made for."""


def demand_of(rate: float, slo_p99: str, headroom: str, growth: str) -> Demand:
    """The demand as the command line has it; raises UsageError on a text that is none."""
    try:
        target_ms = parse_positive_duration(slo_p99) * 1000
    except ValueError as error:
        raise UsageError(f"--slo-p99: {error}", fix="write it as 20ms") from error
    left = share_of(headroom)
    if left >= 1:
        raise UsageError("--headroom must be below 100%", fix="write it as 20%")
    found = Demand(rate, round(target_ms, 9), left, share_of(growth))
    if not 0 < found.planned_rate <= MOST_RATE:
        raise UsageError(
            f"--rate {rate:g} with --growth {growth} is no rate of a service",
            fix=f"give inferences a second, with their growth at most {MOST_RATE:,.0f}",
        )
    if not found.slo_p99_ms < math.inf:
        raise UsageError(f"--slo-p99: {slo_p99} is no target", fix="write it as 20ms")
    return found


@dataclass(frozen=True, slots=True)
class Written:
    """What is deployed under which names, and where to write it."""

    name: str | None = None
    """Of the service; None takes the point's."""
    image: str = ""
    models: str = "models"
    """The volume claim with the model repository."""
    output: Path | None = None
    """Folder of the files that deploy it."""
    html: Path | None = None
    pdf: Path | None = None


def service_of(plan: Plan, written: Written) -> Service:
    """What the plan deploys, under a name that Kubernetes takes."""
    point = plan.sized.candidate.point
    return Service(
        dns_label(written.name or point), point, plan.kind == "triton", plan.sized.replicas,
        plan.sized.replicas_now, plan.sized.threshold, written.image, written.models,
    )  # fmt: skip


def carry_out(
    run_dir: Path, demand: Demand, asked: Asked, written: Written, verify: Watches | None, *,
    as_json: bool,
) -> int:  # fmt: skip
    """Plan, try it under a cap where `verify` says who watches, write the files, show the plan.

    Returns the exit code: 0, 1 where the request failed under its cap, 4 where it decides nothing
    or the cap is partial.
    """
    data = _read(run_dir)
    for text in data.damage:
        click.echo(text, err=True)
    plan = make_plan(data, demand, asked)
    if verify is not None:
        plan = replace(plan, proof=_proof(data, plan, verify))
    if as_json:
        click.echo(json_text(plan), nl=False)
    else:
        Console().print(page(plan), highlight=False)
    _write(plan, data, written, err=as_json)
    if plan.proof is None or plan.proof.verified:
        return 0
    failed = plan.proof.requested.outcome == "fails"
    return HarnessError.exit_code if failed else InconclusiveError.exit_code


def _read(run_dir: Path) -> RunData:
    """The run. Raises UsageError where it is another command's, whose rows are no points to plan
    from.
    """
    data = read_run(run_dir)
    if (kind := data.manifest.get("kind")) is not None:
        command = "share" if kind == SHARING else kind
        fix = "give the directory of a run of `harness run`"
        raise UsageError(
            f"{run_dir} is of `harness {command}`, and a plan needs what `harness run` measured",
            fix=f"{fix}; --sharing takes this one beside it" if kind == SHARING else fix,
        )
    return data


def _write(plan: Plan, data: RunData, written: Written, *, err: bool) -> None:
    """Files and pages, each said with its place."""
    service = service_of(plan, written)
    if written.output is not None:
        with _said(written.output):
            files = write_files(plan, service, written.output)
        click.echo(no_files(plan) or f"{counted(len(files), 'file')} in {written.output}", err=err)
    if written.html is not None or written.pdf is not None:
        from harness.plan.report import write_report

        for html, pdf in ((written.html, None), (None, written.pdf)):
            path = html or pdf
            if path is not None:
                with _said(path):
                    write_report(plan, data, service, html, pdf)
                click.echo(f"page: {path}", err=err)


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Raise SetupError where it can't be written."""
    try:
        yield
    except OSError as error:
        raise cant_write(error, path) from error


def _proof(data: RunData, plan: Plan, watches: Watches) -> Proof:
    """Trials of the plan's point, told of on stderr as they end."""
    quantity, mib, per_process = what_is_capped(plan)
    partial = quantity == "gpu_memory" and which(DAEMON) is None and plan.kind in PARTIAL
    if partial:
        click.echo(f"there is no {DAEMON}, so the cap is partial: {PARTIAL[plan.kind]}", err=True)
    folder = default_directory(f"{plan.scenario}-verify")
    trials = Trials(data, plan, quantity, folder, watches, partial=partial)

    def told(size: int, full: bool) -> Trial:
        trial = trials(size, full)
        kind = "" if full else ", one short round"
        click.echo(f"{size:,} MiB{kind}: {trial.outcome}: {trial.why}", err=True)
        return trial

    guess = ceil(mib / (1 + plan.margin))
    return prove(
        quantity, mib, told, per_process=per_process, guess=guess, partial=partial
    )  # fmt: skip
