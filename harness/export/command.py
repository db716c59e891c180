"""`harness export`: a run directory into another tool's store."""

from __future__ import annotations

import json
from pathlib import Path

import click

SCHEMA = "harness-export/1"


@click.command("export")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--to", "store", type=click.Choice(["mlflow", "wandb"]), required=True)
@click.option(
    "--name", default="inference-harness", show_default=True,
    help="MLflow's experiment, or W&B's project.",
)  # fmt: skip
@click.option("--uri", help="MLflow's tracking URI; default: as MLflow is configured.")
@click.option(
    "--offline", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="W&B: write into DIR, without a network; `wandb sync` sends it later.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def command(
    run_dir: Path, store: str, name: str, uri: str | None, offline: Path | None, as_json: bool
) -> None:  # fmt: skip
    """Write the run in RUN_DIR to MLflow or Weights & Biases.

    Each point's settings, values with intervals, flags and rounds, in base units (docs/export.md);
    to MLflow the reports too. Only this command speaks to either of them.
    """
    from harness.errors import UsageError
    from harness.export.record import record
    from harness.results.store import read_run
    from harness.scenario.wording import counted

    if uri and store == "wandb":
        raise UsageError("--uri is MLflow's", fix="leave it out with --to wandb")
    if offline and store == "mlflow":
        raise UsageError("--offline is W&B's", fix="MLflow: --uri file:DIR")
    data = read_run(run_dir)
    for text in data.damage:
        click.echo(text, err=True)
    found = record(data)
    if store == "mlflow":
        from harness.export import mlflow_store

        where = mlflow_store.send(found, name, uri)
    else:
        from harness.export import wandb_store

        where = wandb_store.send(found, name, offline)
    said = {"schema": SCHEMA, "to": store, "name": name, "id": where, "points": len(found.points)}
    text = f"{counted(len(found.points), 'point')} of {found.name}: in {store}, '{name}': {where}"
    click.echo(json.dumps(said) if as_json else text)
