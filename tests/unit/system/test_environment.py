"""What processes of ours have in their environment, in real ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.run.worker.process import WorkerProcess
from harness.system.child import Child
from harness.system.environment import IMPORTS, PACKAGE_IN, QUIET, child_env, worker_env
from harness.system.guard import spawn


def variables(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(entry.split("=", 1) for entry in text.split("\0") if entry)


def test_importing_the_package_switches_off_what_phones_home():
    env = {k: v for k, v in os.environ.items() if k not in QUIET} | {"ORT_DISABLE_TELEMETRY": "0"}
    code = f"import harness, os; print([os.environ[name] for name in {list(QUIET)}])"
    printed = subprocess.check_output([sys.executable, "-c", code], env=env, cwd=ROOT, text=True)
    assert printed.strip() == str(list(QUIET.values()))


def test_a_real_worker_and_a_helper_have_it(tmp_path):
    worker = WorkerProcess(tmp_path / "log", env=worker_env(tmp_path))
    try:
        assert variables(worker.process.child_pid).items() >= QUIET.items()
    finally:
        worker.kill()
    with Child("a helper", "harness.load.wire.helper") as helper:
        assert variables(helper.process.child_pid).items() >= QUIET.items()


def test_workers_import_from_the_scenario_and_from_each_folder_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert worker_env(Path("/s")) == {IMPORTS: f"/s{os.pathsep}{tmp_path}"}
    assert worker_env(tmp_path) == {IMPORTS: str(tmp_path)}


@pytest.mark.parametrize("place", ["scenario", "working directory"])
def test_a_module_there_replaces_no_library(tmp_path, monkeypatch, place):
    """Of the standard library, of what is installed, of what nobody has imported yet."""
    (tmp_path / "empty").mkdir()
    planted = ("json", "numpy", "colorsys", "scipy")
    for name in planted:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "mine.py").write_text("import json, numpy, colorsys, scipy.special\nprint('mine')")
    scenario = tmp_path if place == "scenario" else tmp_path / "empty"
    monkeypatch.chdir(tmp_path / "empty" if place == "scenario" else tmp_path)
    with (tmp_path / "log").open("wb") as log:
        env = child_env(worker_env(scenario))
        code = "import harness, mine"
        assert (
            spawn([sys.executable, "-P", "-c", code], stdout=log, stderr=log, env=env).wait() == 0
        )
    worker = WorkerProcess(tmp_path / "worker.log", env=worker_env(scenario))
    worker.close()
    assert (tmp_path / "log").read_text() == "mine\n"
    assert not (tmp_path / "ran").exists()


def test_another_environments_process_imports_the_harness_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    assert child_env({PACKAGE_IN: "/alone"})["PYTHONPATH"] == "/alone"
    assert "/theirs" in child_env({})["PYTHONPATH"]
