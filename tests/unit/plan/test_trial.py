"""A trial: the point alone under its cap, for real, and what a run shows of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.paths import H200, ROOT
from support.planned import plan as planned
from support.rows import measurement
from support.tiny_onnx import tiny_onnx

import harness
from harness.errors import HarnessError, LimitError, RunDirectoryError, UsageError
from harness.plan import trial as trial_module
from harness.plan.planning import Asked, make_plan
from harness.plan.sizing import Demand
from harness.plan.trial import Trials, _load_of, judge, what_is_capped
from harness.results.manifest import make_manifest
from harness.results.rows import FailureRow, LoadedRow
from harness.results.store import RunData, RunStore, read_run
from harness.scenario.reading.loader import load, load_text

SCENARIO = """
scenario: planned
model: {name: nothing, source: {fake: {}}}
backends:
  - {kind: fake, name: quick, service_time_ms: 1}
load: {batch_sizes: [2], concurrency: [1, 2]}
measurement: {profile: quick, rounds: 1, warmup: 10ms, warmup_requests: 2, window: 150ms,
              window_requests: 20, window_max: 300ms}
"""
CAPPED = LoadedRow(
    "served", 0, 1.0, 1.0, 0, 1.0, None,
    {"limits": {"gpu_memory": {"mib": 9, "how": "MPS", "control": "seen"}}}, "default",
)  # fmt: skip


def quiet():
    return nullcontext(lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A real run of a fake backend, and the plan of one of its points."""
    folder = tmp_path_factory.mktemp("trial")
    (folder / "s.yaml").write_text(SCENARIO)
    harness.run(folder / "s.yaml", output=folder / "run")
    data = read_run(folder / "run")
    row = next(r for r in data.measurements if r.point == "quick/b2/c1")
    target = 20 * row.latency_ms["p50"]  # a busy machine's p99 is not the matter here
    return data, replace(
        planned(), run=str(data.path), scenario="planned", kind="fake",
        sized=replace(
            planned().sized, need=None, load=1.0,
            candidate=replace(
                planned().sized.candidate, point="quick/b2/c1", backend="quick",
                config="default", batch_size=2, gpu_mib=None, host_mib=row.host_memory_mib,
            ),
        ),
        demand=Demand(1.0, target, 0.2, 0.0),
    )  # fmt: skip


def test_what_another_machine_measured_is_not_tried_here(tmp_path):
    """It was: the run can't be resumed; without --resume, which nobody had given."""
    data = read_run(H200)
    plan = make_plan(data, Demand(2000.0, 20.0, 0.2, 0.0), Asked())
    with pytest.raises(RunDirectoryError, match="--verify: the point can't be measured") as caught:
        Trials(data, plan, "gpu_memory", tmp_path, quiet)
    assert "resume" not in str(caught.value)
    assert caught.value.fix == "measure the run again here, and plan from that"


def test_a_merged_run_is_to_be_measured_in_one(made, tmp_path):
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "journal.jsonl").write_text("")
    text = json.dumps({**made[0].manifest, "shards": []})
    (tmp_path / "merged" / "manifest.json").write_text(text)
    merged = replace(made[0], path=tmp_path / "merged")
    with pytest.raises(RunDirectoryError) as caught:
        Trials(merged, replace(made[1], run=str(merged.path)), "host_memory", tmp_path, quiet)
    assert "in one (no --shard, no --devices)" in str(caught.value.fix)


def test_the_point_alone_is_measured_under_the_cap(made, tmp_path):
    data, plan = made
    trials = Trials(data, plan, "host_memory", tmp_path, quiet)
    trial = trials(900, full=False)
    run = read_run(Path(trial.run))
    assert {row.point for row in run.measurements} == {"quick/b2/c1"}
    assert len({row.round for row in run.measurements}) == 1
    (loaded,) = run.rows(LoadedRow)
    assert loaded.details["limits"]["host_memory"]["mib"] == 900
    assert trial.control == loaded.details["limits"]["host_memory"]["control"]
    assert trial.how in ("cgroup v1", "cgroup v2", "RLIMIT_DATA")
    assert trial.outcome in ("holds", "fails")  # by its p99, which a busy machine may spoil
    assert trial.why.startswith(("p99", f"{0:.4g}")) or "inferences a second" in trial.why
    if trial.how != "RLIMIT_DATA":
        small = trials(12, full=False)
        assert small.outcome == "fails"
        assert "memory ran out (a process was ended at the limit of 12 MiB" in small.why


def recorded(*, p99=9.0, rate=200.0, rounds=3, failed=(), loaded=(CAPPED,), scatter=0.1,
             faster=1.0, **more):  # fmt: skip
    rows = [
        measurement(point="served/b1/c1", backend="served", round=n, concurrency=1,
                    throughput=rate + faster * n,
                    latency_ms={"p50": p99 / 2, "p99": p99 + scatter * n}, **more)
        for n in range(rounds)
    ]  # fmt: skip
    return RunData(Path("trial"), {"scenario": {}}, (*rows, *failed, *loaded))


def failure(reason, message):
    return FailureRow("served/b1/c1", 0, "served", reason, message)


def lengths(trials, mib, full):
    m = trials._loaded(mib, full).scenario.measurement
    return m.rounds, m.rounds_max, m.warmup, m.window, m.window_max, m.window_requests


@pytest.fixture
def trials_of(tmp_path):
    """Trials of a run of this profile, whose plan asks for p99 ≤ 20 ms and 159.7 a second."""

    def make(profile):
        text = f"{SCENARIO[: SCENARIO.index('measurement')]}measurement: {{profile: {profile}}}\n"
        (tmp_path / "s.yaml").write_text(text)
        loaded = load_text(text)
        folder = tmp_path / profile
        RunStore.create(folder, make_manifest(loaded, text, tmp_path / "s.yaml", [])).close()
        plan = planned()
        candidate = replace(
            plan.sized.candidate, point="quick/b2/c1", backend="quick", batch_size=2
        )
        plan = replace(plan, sized=replace(plan.sized, candidate=candidate, load=159.7))
        return loaded.measurement, Trials(
            read_run(folder), plan, "host_memory", tmp_path / "trials", quiet
        )

    return make


@pytest.mark.parametrize(
    ("profile", "short"),
    [("standard", (1, 1, 1.0, 2.0, 10.0, 662)), ("quick", (1, 1, 0.5, 2.0, 10.0, 11))],
)
def test_a_trial_measures_what_decides_it(trials_of, profile, short):
    """On the way one short round, each length at most the run's; in full the planned rounds."""
    m, trials = trials_of(profile)
    assert lengths(trials, 9, False) == short
    whole = (m.warmup, m.window, m.window_max, m.window_requests)
    assert lengths(trials, 9, True) == (m.rounds, m.rounds, *whole)


@pytest.mark.parametrize(
    ("run", "more"),
    [
        (recorded(), False),  # far from both
        (recorded(p99=40.0), False),
        (recorded(p99=19.9), False),  # near, and as narrow as it is to be
        (recorded(scatter=0.5), False),  # wide, and far
        (recorded(p99=15.0, scatter=3.0), True),
        (recorded(p99=25.0, scatter=-3.0), True),
        (recorded(p99=19.0, rounds=1), True),  # no interval yet
        (recorded(rate=158.0, faster=4.0), True),
        (recorded(p99=15.0, scatter=3.0, failed=(failure("raised", "no"),)), False),
        (recorded(rounds=0), False),
    ],
)  # fmt: skip
def test_rounds_are_added_where_they_may_decide(trials_of, run, more):
    _, trials = trials_of("standard")
    found = trials._near(run.measurements, run.failures, 3)
    assert list(found) == (["served/b1/c1"] if more else [])


def test_a_full_trial_is_given_the_rounds_that_a_run_may_add(trials_of, monkeypatch):
    m, trials = trials_of("standard")
    asked = []

    def started(loaded, path, watch, extra):
        asked.append(extra)
        return SimpleNamespace(interrupted=False)

    monkeypatch.setattr(trial_module, "start", started)
    monkeypatch.setattr(trial_module, "read_run", lambda _: recorded())
    assert trials(9, full=True).outcome == "holds"
    assert trials(9, full=False).outcome == "holds"
    assert (asked[0].most, asked[1]) == (m.rounds_max, None) == (15, None)


def test_a_stress_of_a_backend_that_is_left_out_is_in_nobodys_way(tmp_path):
    loaded = load(ROOT / "scenarios" / "tutorial.yaml")
    manifest = make_manifest(loaded.scenario, loaded.text, loaded.path, [])
    RunStore.create(tmp_path / "run", manifest).close()
    plan = planned()
    candidate = replace(plan.sized.candidate, point="onnx/b8/c1", backend="onnx", batch_size=8)
    plan = replace(plan, sized=replace(plan.sized, candidate=candidate))
    trials = Trials(read_run(tmp_path / "run"), plan, "host_memory", tmp_path, quiet)
    scenario = trials._loaded(77, True).scenario
    (backend,) = scenario.backends
    assert (backend.name, backend.limits.tag) == ("onnx", "77MiB")
    assert scenario.stress is None
    assert (scenario.load.batch_sizes, scenario.load.concurrency) == ((8,), (1,))


@pytest.mark.parametrize(
    ("run", "outcome", "why"),
    [
        (recorded(), "holds", "p99 ≤ 20 ms with 9.1 ms"),
        (recorded(p99=40.0), "fails", "p99 is 40.1 ms"),
        (recorded(rate=100.0), "fails", "101 inferences a second, and 159.7 are asked"),
        (recorded(flags=("foreign_gpu_process",)), "holds", "p99 ≤ 20 ms with 9.1 ms"),
        (recorded(flags=("foreign_load", "no_steady_state")), "holds", "p99 ≤ 20 ms with 9.1 ms"),
        (recorded(p99=40.0, flags=("foreign_load",)), "undecided",
         "p99 is 40.1 ms; others disturbed it"),
        (recorded(flags=("no_steady_state",)), "undecided", "p99 is 9.1 ms; no_steady_state"),
        (recorded(flags=("foreign_load", "warm_up_leak")), "holds", "p99 ≤ 20 ms with 9.1 ms"),
        (recorded(flags=("warm_up_leak",)), "undecided", "p99 is 9.1 ms; warm_up_leak"),
        (recorded(rounds=1), "undecided",
         "p99 is 9 ms without an upper end: measure more rounds or longer windows"),
        (recorded(rounds=0), "undecided", "it gave no measurement"),
        (recorded(failed=(failure("out_of_memory", "at 9 MiB; and so on"),), loaded=()), "fails",
         "memory ran out (at 9 MiB)"),
    ],
)  # fmt: skip
def test_a_full_trial_is_judged_by_intervals_and_load(run, outcome, why):
    plan = planned()
    plan = replace(plan, sized=replace(plan.sized, load=159.7))
    trial = judge(run, plan, 9, True)
    assert (trial.outcome, trial.why) == (outcome, why)


def test_a_bound_on_memory_is_the_caps_own_matter():
    """Under MPS the driver may book what clients hold on the server, so that it is not known."""
    run = recorded(gpu_memory_mib=None)
    bounded = {"scenario": {"constraints": {"gpu_memory_mib": {"max": 5000.0}}}}
    plan = planned()
    plan = replace(plan, sized=replace(plan.sized, load=159.7))
    assert judge(replace(run, manifest=bounded), plan, 9, True).outcome == "holds"


@pytest.mark.parametrize(("p99", "outcome"), [(19.0, "holds"), (21.0, "fails")])
def test_a_short_one_is_judged_by_value(p99, outcome):
    assert judge(recorded(p99=p99, rounds=1), planned(), 9, False).outcome == outcome


def test_a_cap_that_was_not_in_force_proves_nothing():
    off = failure("limit", "it is off")
    with pytest.raises(LimitError, match="it is off"):
        judge(recorded(failed=(off,)), planned(), 9, True)
    with pytest.raises(LimitError, match="no record of its cap"):
        judge(recorded(loaded=()), planned(), 9, True)


@pytest.mark.parametrize("kind", ["torch", "onnxruntime"])
def test_a_partial_cap_is_the_backends_own_key_and_says_so(kind, tmp_path, monkeypatch):
    """Where no MPS can be had: it needs a GPU to run, so here it is what would be run."""
    monkeypatch.chdir(tmp_path)
    tiny_onnx(tmp_path / "x.onnx")
    own = {
        "torch": ("{torch: 'm:f'}", "device: cuda"),
        "onnxruntime": ("{onnx: x.onnx}", "provider: CUDAExecutionProvider"),
    }[kind]
    text = SCENARIO.replace("{fake: {}}}", f"{own[0]}, inputs: [{{name: x, shape: [batch, 4]}}]}}")
    text = text.replace("kind: fake", f"kind: {kind}").replace("service_time_ms: 1", own[1])
    (tmp_path / "s.yaml").write_text(text)
    loaded = load_text(text)
    manifest = make_manifest(loaded, text, tmp_path / "s.yaml", [])
    RunStore.create(tmp_path / "run", manifest).close()
    plan = replace(planned(), kind=kind)
    candidate = replace(plan.sized.candidate, point="quick/b2/c1", backend="quick", batch_size=2)
    plan = replace(plan, sized=replace(plan.sized, candidate=candidate))
    trials = Trials(read_run(tmp_path / "run"), plan, "gpu_memory", tmp_path, quiet, partial=True)
    (backend,) = trials._loaded(1300, True).scenario.backends
    assert (backend.gpu_memory_limit, backend.limits.gpu_memory) == (1300 << 20, None)
    trial = judge(recorded(loaded=()), plan, 1300, True, partial=True)
    assert (trial.outcome, trial.control) == ("holds", "")
    assert "alone, not context and libraries" in trial.how


def test_what_is_capped_is_what_a_limit_holds_for():
    plan = planned()
    assert what_is_capped(plan) == ("gpu_memory", plan.sized.need.process_mib, True)
    host = replace(plan, sized=replace(plan.sized, need=None))
    assert what_is_capped(host) == ("host_memory", 1100, False)
    none = replace(plan.sized.candidate, host_mib=None)
    with pytest.raises(HarnessError, match="measured no memory"):
        what_is_capped(replace(host, sized=replace(host.sized, candidate=none)))


@pytest.mark.parametrize(
    ("point", "load"),
    [
        ("quick/b2/c8", {"batch_sizes": [2], "concurrency": [8]}),
        ("quick/b2/r50", {"batch_sizes": [2], "request_rate": [50.0]}),
        ("quick/b2/find_capacity", {"batch_sizes": [2], "request_rate": [100.5]}),
    ],
)
def test_the_load_is_the_points_alone(point, load):
    scenario = load_text(SCENARIO)
    candidate = replace(planned().sized.candidate, point=point, batch_size=2, rate_low=201.0)
    assert _load_of(scenario, candidate) == load


def test_a_rate_that_changes_is_refused():
    candidate = replace(planned().sized.candidate, point="quick/b2/ramp")
    with pytest.raises(UsageError, match="its load is a ramp"):
        _load_of(load_text(SCENARIO), candidate)
