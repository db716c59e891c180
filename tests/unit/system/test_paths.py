"""Where things are."""

import os
from pathlib import Path

from support.paths import ROOT

from harness.system.paths import PACKAGE, cache_directory, worker_env


def test_the_package_is_this_one():
    assert PACKAGE == ROOT / "harness"


def test_workers_import_from_the_scenario_first_and_from_each_folder_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert worker_env(Path("/s"))["PYTHONPATH"].split(os.pathsep) == [
        "/s",
        str(tmp_path),
        "/elsewhere",
    ]
    monkeypatch.setenv("PYTHONPATH", "")
    assert worker_env(tmp_path)["PYTHONPATH"] == str(tmp_path)


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "inference-harness"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_directory() == Path.home() / ".cache" / "inference-harness"
