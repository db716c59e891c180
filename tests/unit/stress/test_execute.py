"""A whole run with users of a locustfile against a server that is not there to be asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stress import loaded

from harness.errors import HarnessError, UsageError
from harness.scenario.reading.loader import LoadedScenario, load
from harness.stress.execute import backend_of, start
from harness.stress.generator import Where
from harness.stress.store import Outcome


def test_a_scenario_without_the_section_is_told_so(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    plain = found.scenario.model_copy(update={"stress": None})
    with pytest.raises(UsageError, match="has no `stress`"):
        backend_of(LoadedScenario(plain, found.text, found.path))


def test_lists_are_refused(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    path = tmp_path / "lists.yaml"
    path.write_text(
        found.text.replace("protocol: http,", "protocol: http, instances: [1, 2],").replace(
            'server: {url: "127.0.0.1:1"}', "server: {repository: .}"
        ),
        encoding="utf-8",
    )
    with pytest.raises(UsageError, match="holds lists"):
        backend_of(load(path))


def test_a_server_that_is_not_there_raises_and_leaves_a_directory_that_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(HarnessError):
        start(loaded(tmp_path), tmp_path / "run", Where(), lambda event: None)
    outcome = Outcome.read(tmp_path / "run")
    assert outcome.status == "failed"
    assert outcome.why
