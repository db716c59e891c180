"""Where the time goes, with a real Triton: what is put somewhere is booked there.

Once each, and large enough to be seen on a busy machine; benchmarks/gap_parts.py does it twenty
times with 2 ms.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import gap_parts  # noqa: E402

pytestmark = pytest.mark.triton
DELAY_MS = 20.0
TRIES = 4


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gap_parts.Bench]:
    folder = tmp_path_factory.mktemp("gap")
    with gap_parts.Bench(folder, DELAY_MS, window_s=0.3, rate=20.0) as bench:
        yield bench


@pytest.mark.parametrize(
    ("place", "protocol"),
    [("model", "http"), ("queue", "grpc"), ("wire", "http"), ("wire", "grpc"), ("client", "grpc")],
)
def test_a_delay_is_booked_on_the_part_where_it_is(
    bench: gap_parts.Bench, place: str, protocol: str
) -> None:
    """A delay is never shorter than it was; on a busy machine another part may be longer yet in one
    window: then it is tried again.
    """
    part = gap_parts.PLACES[place]
    for _ in range(TRIES):
        parts = dict(bench.delayed(place, protocol))
        del parts["end_to_end"], parts["injected"]
        if parts.get(part) == max(parts.values()):
            break
    assert parts.get(part) == max(parts.values()), parts
    assert parts[part] >= 0.9 * DELAY_MS


def test_the_parts_of_a_window_add_up_to_what_the_client_saw(bench: gap_parts.Bench) -> None:
    for _ in range(TRIES):
        parts = dict(bench.parts("model", "grpc"))
        if "outside" not in parts:
            break
    end_to_end, unexplained = parts.pop("end_to_end"), parts["unexplained"]
    assert sum(parts.values()) == pytest.approx(end_to_end)
    assert abs(unexplained) < 0.2 * end_to_end
    assert "outside" not in parts, "it was traced"
    assert not list(bench.folder.glob("log-trace*")), "no trace file is left"


def test_the_page_says_how_many_trials_were_booked() -> None:
    grown = {**dict.fromkeys(gap_parts.PARTS, 0.01), "compute": 2.05, "injected": 2.0}
    text = gap_parts.page(
        {"model": [("http", grown), ("grpc", {**grown, "compute": 1.7})]}, (0.1, 0.2), 3.0
    )
    assert "| model | 2.000 (2.000 to 2.000) | 1 of 2 | **1.875 (1.700 to 2.050)** |" in text


@pytest.mark.parametrize("name", ["gap-parts.json"])
def test_the_kept_page_is_of_its_figures(name: str) -> None:
    found = json.loads((ROOT / "docs" / "benchmarks" / name).read_text())
    page = (ROOT / "docs" / "benchmarks" / name).with_suffix(".md").read_text()
    for place, trials in found.items():
        right = sum(gap_parts.booked(place, grown) for _, grown in trials)
        assert f"{right} of {len(trials)}" in next(
            line for line in page.splitlines() if line.startswith(f"| {place} |")
        )
