"""Blocks until it is decided: when a further round is asked for, and a real run of fakes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from support.compared import write_blocks
from support.observers import Silent
from support.paths import ROOT
from support.tiny_onnx import quantized_onnx, tiny_onnx

from harness.compare.comparing import within
from harness.compare.measuring import Blocks, _looks, begin, chosen, finish
from harness.compare.verdicts import LOOKS
from harness.errors import UsageError
from harness.models.precision import in_own_precision
from harness.results.store import read_run

TEXT = """\
scenario: s
model: {name: m, source: {fake: {}}}
backends:
  - {kind: fake, name: quick, service_time_ms: 1}
  - {kind: fake, name: other, service_time_ms: 1}
  - {kind: fake, name: slow, service_time_ms: 3}
load: {concurrency: [1]}
measurement: {profile: quick, warmup: 10ms, window: 60ms, window_max: 100ms, window_requests: 10,
              warmup_requests: 2}
"""


@pytest.mark.parametrize(
    ("rounds", "slower", "noise", "asks"),
    [
        (3, 0.1, 0.002, True),  # before the first look
        (4, 0.1, 0.002, False),  # decided: a regression
        (4, 0.0, 0.002, False),  # decided: equivalent
        (4, 0.0, 0.05, True),  # open
        (5, 0.0, 0.002, True),  # no look after five
        (19, 0.0, 0.05, False),  # the last look
    ],
)
def test_when_another_block_is_asked_for(
    rounds: int, slower: float, noise: float, asks: bool, tmp_path: Path
) -> None:
    path = write_blocks(tmp_path / "r", {"a": 0.0, "b": slower}, rounds=rounds, noise=noise)
    data = read_run(path)
    found = Blocks("a", "b").open_points(data.measurements, data.failures, rounds)
    assert sorted(found) == (["a/b1/c1", "b/b1/c1"] if asks else [])


def test_what_is_decided_is_not_measured_again(tmp_path: Path) -> None:
    quiet = read_run(write_blocks(tmp_path / "q", {"a": 0, "b": 0}, rounds=4))
    noisy = read_run(
        write_blocks(tmp_path / "n", {"a": 0, "b": 0}, rounds=4, noise=0.05, places=("b1/c2",))
    )
    rows = [*quiet.measurements, *noisy.measurements]
    assert sorted(Blocks("a", "b").open_points(rows, [], 4)) == ["a/b1/c2", "b/b1/c2"]


def test_a_candidate_that_cant_run_ends_it(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0}, failed={"b": "raised"}))
    assert list(Blocks("a", "b").open_points(data.measurements, data.failures, 4)) == []


def test_the_two_alone_are_measured_as_often_as_the_first_look_takes(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT)
    loaded, blocks = chosen(tmp_path / "s.yaml", (), "quick", "slow")
    assert [b.name for b in loaded.scenario.backends] == ["quick", "slow"]
    assert loaded.scenario.measurement.rounds == 4
    assert (blocks.base, blocks.candidate) == ("quick", "slow")


ON_CPU = (
    TEXT.replace("{fake: {}}", "{onnx: m.onnx}")
    .replace("kind: fake, name: slow, service_time_ms: 3", "kind: onnxruntime, name: slow")
    .replace("kind: fake, name: quick, service_time_ms: 1", "kind: onnxruntime, name: quick")
)
GPU = ON_CPU.replace("name: slow", "provider: CUDAExecutionProvider, name: slow")
SERVED = GPU.replace(
    "kind: onnxruntime, provider: CUDAExecutionProvider",
    "kind: triton, protocol: grpc, serve: onnxruntime",
)


@pytest.mark.parametrize(
    ("text", "key", "seconds"),
    [
        (TEXT, "", 0.1),
        (TEXT, "interleave: 50ms, ", 0.05),
        (TEXT, "interleave: 0s, ", 0.0),
        (TEXT, "interleave: null, ", 0.1),
        (ON_CPU, "", 0.1),
        (GPU, "", 0.0),  # energy could not be told apart
        (GPU, "interleave: 1s, ", 1.0),
        (SERVED, "", 0.0),
        (SERVED, "interleave: 0s, ", 0.0),
    ],
)
def test_turns_are_taken_on_the_cpu_or_where_they_are_asked_for(
    text: str, key: str, seconds: float, tmp_path: Path
) -> None:
    tiny_onnx(tmp_path / "m.onnx")
    text = text.replace("- {kind: fake, name: other, service_time_ms: 1}", "")
    (tmp_path / "s.yaml").write_text(text.replace("profile: quick, ", f"profile: quick, {key}"))
    loaded, _ = chosen(tmp_path / "s.yaml", (), "quick", "slow")
    assert loaded.scenario.measurement.interleave == seconds


def test_turns_of_a_served_model_are_refused(tmp_path: Path) -> None:
    tiny_onnx(tmp_path / "m.onnx")
    text = SERVED.replace("- {kind: fake, name: other, service_time_ms: 1}", "")
    (tmp_path / "s.yaml").write_text(text.replace("profile: quick", "interleave: 1s"))
    with pytest.raises(UsageError, match=r"`measurement\.interleave`: slow is served"):
        chosen(tmp_path / "s.yaml", (), "quick", "slow")


def test_a_stress_of_a_backend_that_is_left_out_is_in_nobodys_way() -> None:
    loaded, _ = chosen(ROOT / "scenarios" / "tutorial.yaml", (), "torch", "onnx")
    assert [b.name for b in loaded.scenario.backends] == ["torch", "onnx"]
    assert loaded.scenario.stress is None


def test_from_a_scenario_to_a_verdict_and_on_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "s.yaml").write_text(TEXT)
    watch = nullcontext(Silent())
    ended, blocks = begin(tmp_path / "s.yaml", (), "quick", "slow", tmp_path / "out", watch)
    found = within(read_run(ended.path), blocks.base, blocks.candidate)
    (point,) = found.points
    assert {r.metric.key: r.change > 1 for r in point.rows}.get("p50", bool(point.reason)), point
    assert found.design.endswith("in each round both were loaded, and measured in turns of 100ms")
    before = len(read_run(ended.path).measurements)
    assert (
        before >= 2 * 4
    )  # windows of 60 ms: what a stall disturbed is measured, and judged by none
    again, _ = finish(tmp_path / "out", watch)
    assert not again.interrupted
    assert len(read_run(ended.path).measurements) >= before


def test_a_run_of_other_than_two_is_not_gone_on_with(tmp_path: Path) -> None:
    path = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0, "c": 0.0})
    with pytest.raises(UsageError, match="measures 3 backends, not two"):
        finish(path, nullcontext(Silent()))


@pytest.mark.parametrize(("most", "looks"), [(19, (6, 9, 13, 19)), (9, (6, 9)), (4, (4,))])
def test_what_is_built_anew_is_looked_at_once_there_are_enough_builds(
    most: int, looks: tuple[int, ...]
) -> None:
    assert _looks([{"rebuild": True}, {}], most) == looks
    assert _looks([{}, {}], most) == tuple(n for n in LOOKS if n <= most)


def test_an_int8_file_is_compared_by_the_names_that_the_run_gives(tmp_path: Path) -> None:
    quantized_onnx(tmp_path / "m.onnx")
    (tmp_path / "s.yaml").write_text(
        "scenario: s\nmodel: {name: m, source: {onnx: m.onnx}}\nbackends:\n"
        "  - {kind: onnxruntime, provider: CPUExecutionProvider, threads: 1, name: one}\n"
        "  - {kind: onnxruntime, provider: CPUExecutionProvider, threads: 2}\n"
    )
    loaded, blocks = chosen(tmp_path / "s.yaml", (), None, None)
    run = in_own_precision(loaded.scenario, tmp_path)
    assert [b.name for b in run.backends] == [blocks.base, blocks.candidate]
    assert blocks.candidate.endswith("int8")
