"""A recorded run into the real MLflow and the real wandb, and read back from their stores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.results.store import read_run
from harness.scenario.metrics import METRICS

SAMPLE = ROOT / "reports" / "sample"
pytestmark = pytest.mark.slow
POINTS = 99


def test_a_run_is_in_mlflow(run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="no MLflow (pip install mlflow-skinny)")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file:{tmp_path}/mlruns"
    words = ("export", SAMPLE, "--to", "mlflow", "--uri", uri, "--name", "trial", "--json")
    done = run_cli(*words, timeout=280)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["schema"], said["points"]) == ("harness-export/1", POINTS)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("trial").experiment_id
    runs = client.search_runs([experiment], max_results=500)
    (parent,) = [r for r in runs if r.info.run_id == said["id"]]
    below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == said["id"]]
    assert (len(runs), len(below)) == (POINTS + 1, POINTS)
    assert {a.path for a in client.list_artifacts(said["id"])} >= {"report.html", "manifest.json"}
    assert parent.data.params["package.torch"] == "2.11.0"
    best = next(r for r in below if r.data.tags["harness.point"] == "tensorrt-fp16/b64/c4")
    rows = [r for r in read_run(SAMPLE).measurements if r.point == "tensorrt-fp16/b64/c4"]
    history = client.get_metric_history(best.info.run_id, "round_inferences_per_second")
    assert {m.step: m.value for m in history} == {r.round: r.throughput for r in rows}
    assert (
        best.data.metrics["inferences_per_second_low"] < best.data.metrics["inferences_per_second"]
    )
    assert "inferences_per_second" in best.data.metrics
    assert METRICS["throughput"].name not in best.data.metrics
    again = run_cli(*words, timeout=280)
    assert again.returncode == 2
    assert "MLflow has this run already" in again.stderr


def test_a_run_is_in_wandb_without_a_network(run_cli, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="no Weights & Biases (pip install wandb)")
    from support.synthetic_run import write_run

    write_run(tmp_path / "run")
    count = len({r.point for r in read_run(tmp_path / "run").measurements})
    done = run_cli(
        "export", tmp_path / "run", "--to", "wandb", "--offline", tmp_path / "w", timeout=280
    )
    assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "w" / "wandb").glob("offline-run-*"))
    assert len(folders) == count
    assert all(list(folder.glob("*.wandb")) for folder in folders)
