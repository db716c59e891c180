"""Without mlflow nothing is sent; else tests/integration/test_export_stores.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import MissingPackageError
from harness.export import mlflow_store
from harness.export.record import Record


def test_nothing_is_written_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("mlflow", "mlflow.exceptions", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    found = Record("r", "s", {"harness.run": "r"}, {}, (), ())
    with pytest.raises(MissingPackageError, match="mlflow"):
        mlflow_store.send(found, "x", f"file:{tmp_path}")
    assert list(tmp_path.iterdir()) == []
