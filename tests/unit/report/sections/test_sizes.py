"""What a report says of sizes that vary, on a real run of a sweep within which another is mixed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from support.rows import point

from harness.report.model.context import Context, build_context
from harness.report.outputs.csv import summary_records
from harness.report.sections import answer, sizes
from harness.results.events import Event
from harness.results.samples import read_samples
from harness.results.store import read_run
from harness.run.execute import start
from harness.scenario.reading.loader import load

TEXT = """
scenario: sizes
model:
  name: m
  source: {fake: {}}
  inputs: [{name: x, shape: [batch, width, length]}]
  dynamic:
    width: [8, 16]
    length: [{size: 2, share: 3}, {size: 5, share: 1}]
backends: [{name: a, kind: fake, service_time_ms: 1}, {name: b, kind: fake, service_time_ms: 2}]
load: {concurrency: [2], request_rate: [200], arrivals: constant}
measurement:
  {profile: quick, rounds: 2, rounds_max: 2, warmup: 10ms, window: 100ms, window_max: 200ms}
"""


def ignore(event: Event) -> None:
    """An observer that looks at nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    (folder / "s.yaml").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        start(load(folder / "s.yaml"), folder / "out", nullcontext(ignore))
    return folder / "out"


@pytest.fixture(scope="module")
def context(run: Path) -> Context:
    return build_context(read_run(run))


def test_every_size_has_its_points(context: Context) -> None:
    found = {row.point for row in context.rows}
    assert found == {
        f"{name}/b1,width={width},length=mix/{load}"
        for name in "ab" for width in (8, 16) for load in ("c2", "r200")
    }  # fmt: skip
    assert {row["sizes"] for row in summary_records(context)} == {
        "width=8,length=mix", "width=16,length=mix",
    }  # fmt: skip


def test_the_shares_really_sent_are_recorded(context: Context, run: Path) -> None:
    for row in (m for r in context.rows for m in r.every):
        small, large = row.details["mix"]
        width = row.sizes.partition(",")[0]
        assert small["sizes"] == f"{width},length=2" and large["sizes"] == f"{width},length=5"
        assert (small["share"], large["share"]) == (0.75, 0.25)
        assert small["requests"] + large["requests"] == row.requests
        # stretches of four requests hold the shares: two callers and an end may cut some
        assert abs(large["requests"] - row.requests / 4) <= 6
        assert large["sent"] == pytest.approx(large["requests"] / row.requests, abs=1e-9)
        samples = read_samples(run / row.samples)
        assert samples.which is not None and set(samples.which.tolist()) == {0, 1}


def test_the_choice_is_between_points_of_the_same_size(context: Context) -> None:
    assert {row.sizes for row in context.choice.candidates} <= {"width=16,length=mix"}
    assert {row.sizes for row in context.rows if row.point in context.ranks} <= {
        "width=16,length=mix"
    }
    said = " ".join(map(str, answer.answer(context)))
    assert "of other sizes than width=16,length=mix" in said


def test_the_section_has_the_best_at_each_size_and_the_mix(context: Context) -> None:
    assert sizes.section(context) is not None
    best = sizes.best_table(context)
    assert [row[0].text for row in best.rows] == ["width=8,length=mix", "width=16,length=mix"]
    sent = sizes.sent_table(context)
    assert len(sent.rows) == 2 * len(context.rows)
    assert {row[4].text for row in sent.rows} == {"75%", "25%"}


def test_a_run_whose_sizes_do_not_vary_has_none(context: Context) -> None:
    assert sizes.section(replace(context, rows=(point(),))) is None
