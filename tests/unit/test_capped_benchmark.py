"""benchmarks/capped.py: the search for the least, and real sessions under a cap of host memory."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

from harness.scenario.reading.loader import load_text


@pytest.fixture
def capped(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("capped")


@pytest.mark.parametrize("truth", [900, 1000, 1099, 1131, 1320, 1500])
def test_the_search_for_the_least_finds_it_in_few_trials(capped: Any, truth: int) -> None:
    """Of a replica for which 1,120 MiB are predicted and 1,232 asked."""
    sizes: list[int] = []

    def holds(mib: int) -> bool:
        sizes.append(mib)
        return mib >= truth

    found = capped.search(1120, 1232, holds, step=128, to=32)
    assert truth <= found <= truth + 32
    assert sizes[0] == 1232
    assert sizes.count(found) == 2
    assert len(sizes) <= (7 if abs(1120 - truth) <= 128 else 9)


def test_what_held_by_chance_is_not_the_least(capped: Any) -> None:
    lucky = [True]

    def holds(mib: int) -> bool:
        return mib >= 1100 or (992 <= mib < 1024 and bool(lucky) and lucky.pop())

    assert 1100 <= capped.search(1120, 1232, holds, step=128, to=32) < 1132
    assert capped.search(1120, 1232, lambda mib: False, step=128, to=32) is None


@pytest.mark.slow
def test_a_session_holds_under_a_cap_that_it_needs_and_not_under_less(
    capped: Any, tmp_path: Path
) -> None:
    """A delay line of two slots that keep 80 MiB each."""

    def scenario(mib: int | None) -> Any:
        limits = {} if mib is None else {"limits": {"host_memory": f"{mib}MiB"}}
        text = json.dumps({
            "scenario": "capped", "model": {"name": "delay", "source": {"fake": {}}},
            "backends": [{"kind": "fake", "service_time_ms": 5, "cache_mib": 80, **limits}],
            "load": {"batch_sizes": [1], "concurrency": [2]},
            "measurement": {"profile": "quick", "warmup": "100ms", "window": "200ms"},
        })  # fmt: skip
        return load_text(text, "scenario.yaml", tmp_path)

    with capped.Sessions(scenario, tmp_path, tmp_path) as sessions:
        enough, little = sessions.tried(400), sessions.tried(120)
    assert enough["outcome"] == "holds", enough["why"]
    assert "host_memory" in enough["cap"]
    assert little["outcome"] == "fails"
    assert "memory ran out" in little["why"]
