"""The section `stress`: what is taken, and where what is wrong is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import ROOT

from harness.errors import ScenarioError
from harness.scenario.reading.loader import load, load_text
from harness.scenario.spec.scenario import Scenario

FILE = ROOT / "scenarios" / "stress-triton.yaml"
TEXT = FILE.read_text("utf-8")


def test_the_sample_is_read_and_resolves_to_itself() -> None:
    scenario = load(FILE).scenario
    assert scenario.stress is not None
    assert scenario.stress.thresholds.error_rate is not None
    assert [limit.max for limit in scenario.stress.thresholds.error_rate] == [0.25]
    (fault,) = scenario.stress.faults
    assert (fault.kind, fault.at, fault.lasts) == ("kill", 25.0, 0.0)
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("for: 5s", "for: 50s", "duration: ends before the peak has"),
        ("during: before", "during: peak", "no phase of a spike is called 'peak'"),
        ("kill: server", "kill: model", "must be one of server"),
        ("25%", "125%", "error_rate.max"),
        ("{max: 25%}", "[{max: 25%}, {max: 1%, during: peak}]", "error_rate[1].during: no phase"),
        ("kill: server", "kill: server, pause: 3s", "found kill and pause"),
        ("at: 25s", "at: 45s", "after the load has ended"),
        ("kill: server", "kill: server, for: 3s", "has no meaning for kill"),
        ("kill: server", "network: {}", "does nothing; give delay_ms or stall"),
        ("stress:", "stress:\n  max_outstanding: 0", "max_outstanding"),
        ("stress:", "stress:\n  locustfile: models/tiny-mlp.onnx", "make a closed loop"),
        ("stress:", "stress:\n  backend: other", "no Triton backend is called 'other'"),
        ("protocol: grpc,", "protocol: grpc, io: shared_memory,", "use `io: host`"),
        ("dynamic_batching: true}", "dynamic_batching: true, colocated: [{name: b, model: "
         "{source: {onnx: models/tiny-mlp.onnx}}, load: {request_rate: 5}}]}",
         "faults[0].kill: would end the load of the co-located models"),
        ("duration: 40s", "duration: 40s, unit: users",
         None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, message: str | None) -> None:
    text = TEXT.replace(old, new, 1)
    if message is None:
        load_text(text, "x.yaml", FILE.parent)
        return
    with pytest.raises(ScenarioError) as info:
        load_text(text, "x.yaml", FILE.parent)
    (problem,) = info.value.problems
    assert message in str(problem)
    assert problem.line > 1


@pytest.mark.parametrize(
    ("shape", "good", "bad", "has"),
    [
        ("step: {begin: 1, end: 5, duration: 5s}", "step", "step 9", "`step 1` to `step 5`"),
        ("step: {begin: 1, end: 5, steps: 9, duration: 5s}", "step 9", "step 0", "`step 9`"),
        ("soak: {rate: 1, duration: 5s}", "soak", "soak 2", "it has `soak`"),
    ],
)
def test_a_limit_is_of_a_phase_that_comes(shape: str, good: str, bad: str, has: str) -> None:
    head, tail = TEXT.partition("  shape:")[0], "  thresholds: {error_rate: {max: 1, during: %s}}"
    text = f"{head}  shape: {{{shape}}}\n{tail}\n"
    assert load_text(text % good, "x.yaml", FILE.parent).stress is not None
    with pytest.raises(ScenarioError, match=f"is called '{bad}'; ") as info:
        load_text(text % bad, "x.yaml", FILE.parent)
    assert has in str(info.value)


def test_faults_are_only_for_a_server_of_the_harness(tmp_path: Path) -> None:
    text = (
        "scenario: x\nmodel: {name: m, source: {triton: m}}\n"
        "backends: [{kind: triton, protocol: http, server: {url: 'a:1'}}]\n"
        "stress:\n  shape: {constant: {users: 2, duration: 9s}}\n  faults: [{at: 1s, pause: 1s}]\n"
    )
    with pytest.raises(ScenarioError, match="only a server that the harness starts itself"):
        load_text(text, "x.yaml", tmp_path)
    alone = text.partition("  faults")[0]
    assert load_text(alone, "x.yaml", tmp_path).stress is not None


def test_a_shape_needs_exactly_one_kind_and_one_level() -> None:
    for shape, message in [
        ("{}", "give one of `constant`"), ("{constant: {duration: 3s}}", "one of rate and users"),
        ("{constant: {rate: 2, users: 2, duration: 3s}}", "one of rate and users"),
        ("{wave: {base: 1, peak: 2, duration: 3s}}", "period: this key is missing"),
    ]:  # fmt: skip
        head, _, _ = TEXT.partition("stress:\n")
        with pytest.raises(ScenarioError, match=message):
            load_text(f"{head}stress:\n  shape: {shape}\n", "x.yaml", FILE.parent)
