"""A run into MLflow: one MLflow run for it with its files, and one below it for each point."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.export.record import Point, Record
from harness.system.packages import missing_package

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
LONGEST = 500
"""Characters of a parameter that every store takes."""


def send(found: Record, experiment: str, uri: str | None) -> str:
    """Write it to the store at `uri` (default: as MLflow is configured); the new run's id.

    Raises MissingPackageError without MLflow, UsageError for a run that is there already, or what
    the store says.
    """
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ModuleNotFoundError as error:
        raise missing_package(error) from None
    try:
        return _send(MlflowClient(tracking_uri=uri), found, experiment)
    except MlflowException as error:
        raise UsageError(f"MLflow: {error.message}") from None


def _send(client: MlflowClient, found: Record, experiment: str) -> str:
    known = client.get_experiment_by_name(experiment)
    into = known.experiment_id if known else client.create_experiment(experiment)
    key = found.tags["harness.run"].replace("'", "")
    there = client.search_runs([into], f"tags.`harness.run` = '{key}'", max_results=1)
    if there:
        raise UsageError(
            f"MLflow has this run already, in '{experiment}': {there[0].info.run_id}",
            fix="name another experiment with --name",
        )
    tags = {**found.tags, "harness.run": key, NAME: found.name}
    parent = str(client.create_run(into, tags=tags).info.run_id)
    _params(client, parent, found.params)
    for point in found.points:
        _point(client, into, parent, point)
    for path in found.files:
        client.log_artifact(parent, str(path))
    client.set_terminated(parent)
    return parent


def _point(client: MlflowClient, into: str, parent: str, point: Point) -> None:
    from mlflow.entities import Metric

    tags = {**point.tags, PARENT: parent, NAME: point.name}
    run = client.create_run(into, tags=tags).info.run_id
    _params(client, run, point.params)
    now = int(time.time() * 1000)
    steps: Iterable[tuple[int, Mapping[str, float]]] = ((0, point.values), *point.rounds.items())
    metrics = [Metric(k, v, now, step) for step, values in steps for k, v in values.items()]
    client.log_batch(run, metrics=metrics)
    client.set_terminated(run)


def _params(client: MlflowClient, run: str, params: Mapping[str, str]) -> None:
    from mlflow.entities import Param

    client.log_batch(run, params=[Param(k, v[:LONGEST]) for k, v in params.items() if v])
