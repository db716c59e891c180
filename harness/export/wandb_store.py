"""A run into Weights & Biases: a W&B run for each point, in a group of the harness's run."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.export.record import Record
from harness.system.packages import missing_package


def send(found: Record, project: str, folder: Path | None) -> str:
    """Write it to `folder` without a network, or where W&B is logged in to; the group's name.

    Raises MissingPackageError without wandb, UsageError for what it says.
    """
    try:
        import wandb
    except ModuleNotFoundError as error:
        raise missing_package(error) from None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    group = found.tags["harness.run"]
    for point in found.points:
        try:
            run = wandb.init(
                project=project, group=group, name=point.name, job_type="point",
                mode="offline" if folder is not None else "online",
                dir=str(folder) if folder is not None else None,
                config={**found.params, **point.params, **found.tags, **point.tags},
                settings=wandb.Settings(silent=True, console="off"), reinit="finish_previous",
            )  # fmt: skip
        except wandb.errors.Error as error:
            raise UsageError(f"W&B: {error}") from None
        for step, values in sorted(point.rounds.items()):
            run.log(dict(values), step=step)
        run.summary.update(dict(point.values))
        run.finish()
    return group
