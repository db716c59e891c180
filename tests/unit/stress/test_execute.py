"""A whole run with users of a locustfile against a server that is not there to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.stress import loaded, plan_of, stress

from harness.errors import HarnessError, UsageError
from harness.run.interruption import Interruption
from harness.scenario.reading.loader import LoadedScenario, load
from harness.stress.execute import _Run, backend_of, between_readings, reached_from_elsewhere, start
from harness.stress.faults import Faults
from harness.stress.store import Outcome
from harness.swarm.generator import Generator, Where


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


def test_a_long_soak_keeps_no_more_readings_than_a_short_one() -> None:
    def every(duration: str) -> float:
        return between_readings(stress(shape={"soak": {"rate": 1, "duration": duration}}))

    assert every("10m") == 1.0
    assert [every("1h"), every("24h")] == [3.6, 86.4]


def test_a_run_that_is_killed_says_when_its_load_began(tmp_path: Path) -> None:
    """What is saved at its beginning is all that a kill leaves."""
    scenario, out, saved = loaded(tmp_path, "500ms"), tmp_path / "out", []
    out.mkdir()

    def tell(event: Mapping[str, Any]) -> None:
        saved.append((event["event"], Outcome.read(out)))

    run = _Run(scenario, out, Where(1), tell, Interruption())
    run.outcome.save(out)
    plan, stress = plan_of(scenario), backend_of(scenario)[0]
    with Generator(plan, [], Where(1), folder=out / "s", logs=tmp_path, base=tmp_path) as made:
        run._load(stress, made, Faults((), None, None, run._fault_done), None)
    before_the_end = [o for kind, o in saved if kind != "done"]
    assert before_the_end[-1].start_ns == run.outcome.start_ns > 0
    assert before_the_end[-1].status == "running"


def test_a_server_of_ours_is_led_to_where_the_workers_come_from_elsewhere() -> None:
    own = "127.0.0.1:8001"
    assert reached_from_elsewhere(own, "10.0.0.1:5557") == "10.0.0.1"
    assert reached_from_elsewhere(own, "[fd00::1]:5557") == "fd00::1"
    for address, master in ((own, ""), (own, "127.0.0.1:5557"), ("triton:8001", "10.0.0.1:5557")):
        assert reached_from_elsewhere(address, master) == ""
    with pytest.raises(UsageError, match="does not say at which address"):
        reached_from_elsewhere(own, "0.0.0.0:5557")
