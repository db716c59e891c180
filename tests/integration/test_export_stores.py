"""A recorded run into the real MLflow and the real wandb, and read back from their stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.synthetic_run import write_run

from harness.report.model.context import build_context
from harness.results.store import read_run

pytestmark = pytest.mark.slow


def test_a_run_is_in_mlflow(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="no MLflow (pip install mlflow-skinny)")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file:{tmp_path}/mlruns"
    rows = read_run(write_run(tmp_path / "run")).measurements
    points = {row.point for row in build_context(read_run(tmp_path / "run")).rows}  # failed too
    words = ("export", tmp_path / "run", "--to", "mlflow", "--uri", uri, "--name", "t", "--json")
    done = run_cli(*words, timeout=280)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["schema"], said["points"]) == ("harness-export/1", len(points))
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name("t").experiment_id], max_results=500)
    below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == said["id"]]
    assert (len(runs), len(below)) == (len(points) + 1, len(points))
    assert "manifest.json" in {a.path for a in client.list_artifacts(said["id"])}
    for run in below:
        mine = [r for r in rows if r.point == run.data.tags["harness.point"]]
        history = client.get_metric_history(run.info.run_id, "round_inferences_per_second")
        assert {m.step: m.value for m in history} == {r.round: r.throughput for r in mine}
        if mine:
            values = run.data.metrics
            assert values["inferences_per_second_low"] < values["inferences_per_second"]
    again = run_cli(*words, timeout=280)
    assert again.returncode == 2
    assert "MLflow has this run already" in again.stderr


def test_a_run_is_in_wandb_without_a_network(run_cli, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="no Weights & Biases (pip install wandb)")
    write_run(tmp_path / "run")
    count = len(build_context(read_run(tmp_path / "run")).rows)  # those that failed too
    done = run_cli(
        "export", tmp_path / "run", "--to", "wandb", "--offline", tmp_path / "w", timeout=280
    )
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "w" / "wandb").glob("offline-run-*"))
    assert len(folders) == count
    assert all(list(folder.glob("*.wandb")) for folder in folders)
