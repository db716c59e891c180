"""`harness plan RUN_DIR`: what to ask for, how many replicas and cards, and the files."""

from __future__ import annotations

import re
from pathlib import Path

import click

PATH = click.Path(path_type=Path)
CLAIM = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""A DNS subdomain, as Kubernetes names objects (RFC 1123)."""


def _claim(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if CLAIM.fullmatch(value):
        return value
    raise click.BadParameter(
        f"{value!r} is no name of a volume claim: small letters, digits, '-' and '.', at most 253"
    )


@click.command()
@click.argument("run_dir", type=PATH)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    required=True,
    help="Inferences a second that the service must carry.",
)
@click.option("--slo-p99", required=True, metavar="TIME", help="Target for p99, e.g. 20ms.")
@click.option(
    "--headroom",
    default="20%",
    show_default=True,
    metavar="SHARE",
    help="Share of each replica's capacity that is left free.",
)
@click.option(
    "--growth",
    default="0%",
    show_default=True,
    metavar="SHARE",
    help="By how much the rate will grow.",
)
@click.option(
    "--margin",
    default="10%",
    show_default=True,
    metavar="SHARE",
    help="What is put on the measured peak of memory.",
)
@click.option(
    "--card-mib", type=click.IntRange(1), help="Memory of a card; default: the run's GPU."
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="NAME",
    help="Plan for this system only. Repeatable; default: all.",
)
@click.option(
    "--compute",
    type=click.IntRange(1, 100),
    metavar="PERCENT",
    help="Also ask for this share of a card's compute.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    metavar="N",
    help="Processes of a replica that hold GPU memory; default: from the scenario.",
)
@click.option(
    "--memory-factor",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="HAMi's memoryFactor, Volcano's gpu-memory-factor.",
)
@click.option(
    "--driver",
    type=click.IntRange(1),
    metavar="MAJOR",
    help="The driver where it will run, e.g. 615; default: the run's.",
)
@click.option("--name", help="Name of the service; default: the point's.")
@click.option("--image", default="", help="Image of the container.")
@click.option(
    "--models",
    default="models",
    show_default=True,
    metavar="CLAIM",
    callback=_claim,
    help="Volume claim with the model repository.",
)
@click.option(
    "--output",
    "-o",
    type=PATH,
    metavar="DIR",
    help="Write the files that deploy it into DIR, a folder a system.",
)
@click.option(
    "--at",
    "combinations",
    multiple=True,
    metavar="batch=B,callers=C[,instances=N]",
    help="Estimate GPU memory of what was not measured. Repeatable.",
)
@click.option(
    "--sharing",
    type=PATH,
    metavar="DIR",
    help="A run of harness share: who slows whom, and how many replicas hold the target together.",
)
@click.option(
    "--verify",
    is_flag=True,
    help="Measure the point again under the memory it asks for, and find the least that works.",
)
@click.option("--html", type=PATH, metavar="FILE", help="Write the plan as a page, in one file.")
@click.option("--pdf", type=PATH, metavar="FILE", help="Write it as a PDF.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    run_dir: Path, rate: float, slo_p99: str, headroom: str, growth: str, margin: str,
    card_mib: int | None, systems: tuple[str, ...], compute: int | None, processes: int | None,
    memory_factor: int, driver: int | None, name: str | None, image: str, models: str,
    output: Path | None, combinations: tuple[str, ...], sharing: Path | None, verify: bool,
    html: Path | None, pdf: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Say what to deploy for a rate and a latency target, from the run in RUN_DIR.

    The cheapest configuration whose p99 holds the target, how many replicas and cards, what to ask
    for in each system that shares GPUs, and the files. --verify tries the point under a cap.
    """
    from contextlib import nullcontext

    from harness.plan.front import Written, carry_out, demand_of
    from harness.plan.memory_model import combination_of
    from harness.plan.planning import Asked
    from harness.plan.units import share_of

    demand = demand_of(rate, slo_p99, headroom, growth)
    asked = Asked(
        systems, share_of(margin), card_mib, processes, compute, memory_factor, driver,
        tuple(map(combination_of, combinations)), sharing,
    )  # fmt: skip
    watches = (lambda: nullcontext(lambda _: None)) if verify else None
    written = Written(name, image, models, output, html, pdf)
    return carry_out(run_dir, demand, asked, written, watches, as_json=as_json)
