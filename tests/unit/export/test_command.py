"""`harness export`: what does not go together, and what is missing."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner
from support import paths

from harness.errors import MissingPackageError, UsageError
from harness.export.command import command

SAMPLE = str(paths.SAMPLE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "wandb", "--uri", "x"), "--uri is MLflow's"),
        (("--to", "mlflow", "--offline", "x"), "--offline is W&B's"),
    ],
)
def test_options_of_the_other_store_are_refused(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(command, [SAMPLE, *words])
    assert isinstance(done.exception, UsageError)
    assert said in done.exception.message


@pytest.mark.parametrize("store", ["mlflow", "wandb"])
def test_a_store_that_is_not_installed_says_how_to_get_it(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (store, "mlflow.exceptions", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    done = CliRunner().invoke(command, [SAMPLE, "--to", store])
    assert isinstance(done.exception, MissingPackageError)
    assert done.exception.fix is not None
    assert store in done.exception.fix
