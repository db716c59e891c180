"""A load generator as a process, with users of a locustfile: no server is needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stress import loaded, plan_of

from harness.swarm.generator import Generator, Where
from harness.swarm.progress import read_records
from harness.swarm.recorder import merge


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    home = tmp_path_factory.mktemp("alone")
    plan = plan_of(loaded(home))
    with Generator(plan, [], Where(), folder=home / "out", logs=home, base=home) as generator:
        yield home, [e for e in generator.events() if e]


def test_it_says_what_goes_on(alone: tuple[Path, list[dict[str, Any]]]) -> None:
    kinds = [e["event"] for e in alone[1]]
    assert (kinds[0], kinds[-1]) == ("started", "done")
    assert set(kinds[1:-1]) == {"progress"}
    assert alone[1][-1]["requests"] > 100
    assert alone[1][-1]["failures"] == 0


def test_every_request_is_in_the_records_with_its_own_time(
    alone: tuple[Path, list[dict[str, Any]]],
) -> None:
    home, events = alone
    samples = merge(read_records(home / "out")).samples
    assert len(samples) == events[-1]["requests"]
    latency_ms = (samples.done - samples.sent) / 1e6
    assert latency_ms.min() >= 10.0  # what the users slept
    assert len(np.unique(latency_ms)) > len(samples) / 2  # and not rounded as Locust's are
    assert samples.done[0] > events[0]["at_ns"] - 1e9
