"""Without wandb nothing is sent; else tests/integration/test_export_stores.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import MissingPackageError
from harness.export import wandb_store
from harness.export.record import Record


def test_nothing_is_written_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("wandb", "wandb.exceptions", "wandb.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    found = Record("r", "s", {"harness.run": "r"}, {}, (), ())
    with pytest.raises(MissingPackageError, match="wandb"):
        wandb_store.send(found, "x", tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []
