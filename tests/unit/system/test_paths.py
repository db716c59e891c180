"""Where things are."""

from pathlib import Path

from support.paths import ROOT

from harness.system.paths import PACKAGE, cache_directory, data_directory


def test_the_package_is_this_one():
    assert PACKAGE == ROOT / "harness"


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "inference-harness"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_directory() == Path.home() / ".cache" / "inference-harness"


def test_what_is_kept_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_directory() == tmp_path / "inference-harness"
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert data_directory() == Path.home() / ".local" / "share" / "inference-harness"
