"""The Python API: what it takes, what a run says, and that an interrupted one goes on."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.paths import ROOT
from support.synthetic_run import write_all_failed, write_run

import harness
from harness import api
from harness.backends import registry
from harness.results.events import Event, Plan
from harness.results.rows import MeasurementRow
from harness.scenario import kinds

TEXT = """
scenario: api
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake, service_time_ms: 1}]
load: {concurrency: [1, 2]}
measurement: {profile: quick, rounds: 1, warmup: 10ms, window: 50ms, window_max: 100ms}
"""
AS_DICT = {
    "scenario": "api", "model": {"name": "nothing", "source": {"fake": {}}},
    "backends": [{"name": "fake", "kind": "fake", "service_time_ms": 1}],
    "load": {"concurrency": [1, 2]},
    "measurement": {"profile": "quick", "rounds": 1, "warmup": "10ms", "window": "50ms",
                    "window_max": "100ms"},
}  # fmt: skip

TEXTS = ("flags", "gpu_memory_scope", "sizes")
"""Columns in which an empty text means none."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    return api.Run(write_run(tmp_path_factory.mktemp("run") / "r"))


# ------------------------------------------------------------------------------------ scenarios


def test_a_scenario_is_the_same_however_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT)
    given = [TEXT, AS_DICT, "s.yaml", tmp_path / "s.yaml"]
    found = [api.load_scenario(s) for s in given]
    assert found == [found[0]] * len(found)
    assert api.load_scenario(found[0]) == found[0]
    assert api.load_scenario(TEXT, overrides=["measurement.rounds=3"]).measurement.rounds == 3
    assert api.load_scenario(found[0], overrides=["load.concurrency=8"]).load.concurrency == (8,)


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_scenario_object_is_written_down_as_what_it_is(path: Path) -> None:
    scenario = api.load_scenario(path)
    assert api.load_scenario(scenario).model_dump() == scenario.model_dump()


def test_mistakes_in_text_and_dicts_have_their_place() -> None:
    with pytest.raises(harness.ScenarioError) as caught:
        api.load_scenario({**AS_DICT, "lod": 1})
    (problem,) = caught.value.problems
    assert (problem.file, problem.path, problem.suggestion) == ("<python>", "lod", "load")
    with pytest.raises(harness.UsageError, match=r"there is no file no\.yaml"):
        api.load_scenario("no.yaml")


# --------------------------------------------------------------------------------- what is found


def test_a_run_says_what_the_report_says(finished: api.Run) -> None:
    assert finished.complete
    assert finished.exit_code == 1  # a point of it failed in every round
    assert {f.reason for f in finished.failures} >= {"server_died", "hung"}
    assert finished.best is not None
    assert finished.best.valid
    assert "onnxruntime-cpu-fp32 is" in finished.answer
    assert repr(finished) == f"<Run {finished.path}: complete, 24 points>"


def test_frames_are_the_csv_files(finished: api.Run, tmp_path: Path) -> None:
    files = finished.report(formats=["csv"], output=tmp_path / "csv")
    for frame, name in ((finished.summary(), "summary.csv"),
                        (finished.measurements(), "measurements.csv")):  # fmt: skip
        (file,) = [f for f in files if f.name == name]
        read = pd.read_csv(file, float_precision="round_trip").fillna(
            {n: "" for n in TEXTS if n in frame}
        )
        read = read.astype(frame.dtypes.to_dict())
        pd.testing.assert_frame_equal(frame, read, check_exact=True)


def test_without_an_answer_there_is_no_best_and_it_says_why(tmp_path: Path) -> None:
    run = api.open_run(write_all_failed(tmp_path / "r"))
    assert run.best is None
    assert run.answer
    assert run.summary()["throughput"].isna().all()


def test_a_point_explains_itself(finished: api.Run) -> None:
    assert finished.best is not None
    page = finished.explain(finished.best.point)
    assert str(page).startswith(finished.best.point)
    assert repr(page) == str(page)
    assert finished.best.point in page._repr_html_()
    with pytest.raises(harness.UsageError, match="did you mean"):
        finished.explain(finished.best.point + "x")


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(harness.RunDirectoryError, match="not a run directory"):
        api.open_run(tmp_path)


# ------------------------------------------------------------------------------------- measuring


def test_lanes_need_a_scenario_s_file() -> None:
    with pytest.raises(harness.UsageError, match="read the scenario from its file") as caught:
        harness.run(TEXT, devices="cpus:2")
    assert caught.value.fix == "save it, and give the file's path"
    assert not Path("reports").exists()


def test_a_shard_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT)
    overrides = ["measurement.rounds=2", "load.concurrency=1"]
    found = harness.run("s.yaml", output="shard", overrides=overrides, shard="1/2")
    assert [m.round for m in found._data.measurements] == [1]


def test_an_interrupted_run_can_be_resumed(tmp_path: Path) -> None:
    told: list[Event] = []

    def progress(event: Event) -> None:
        told.append(event)
        if isinstance(event, MeasurementRow):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"harness\.resume\('out'\)"):
        api.run(AS_DICT, output="out", progress=progress)
    assert isinstance(told[0], Plan)
    cut = api.open_run("out")
    assert not cut.complete
    assert len(cut.measurements()) == 1

    again: list[Event] = []
    done = api.resume("out", progress=again.append)
    assert done.complete
    assert again[0] == replace(told[0], measured=1)
    assert sorted(done.measurements()["point"]) == ["fake/b1/c1", "fake/b1/c2"]
    with pytest.raises(harness.RunDirectoryError, match="already holds a run"):
        api.run(AS_DICT, output="out")


TOY = """
from typing import Literal
from harness.backends.fake import FakeBackend, FakeSettings

class ToySettings(FakeSettings):
    kind: Literal["KIND"]

class ToyBackend(FakeBackend):
    def __init__(self, settings: ToySettings, context):
        super().__init__(settings, context)
"""


def test_a_class_is_a_backend_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "toy_of_test_api"
    (tmp_path / f"{kind}.py").write_text(TOY.replace("KIND", kind))
    monkeypatch.syspath_prepend(tmp_path)
    toy = importlib.import_module(kind).ToyBackend
    mine = {**AS_DICT, "backends": [{"kind": kind, "name": "mine", "service_time_ms": 1}]}
    try:
        with pytest.raises(harness.UsageError, match=f"is of kind '{kind}', not 'other'"):
            api.run(mine, backends={"other": toy})
        found = api.run(mine, backends={kind: toy}, overrides=["load.concurrency=[1]"])
        assert found.complete
        assert found.failures == []
        assert set(found.measurements()["backend"]) == {"mine"}
    finally:
        kinds.SETTINGS.pop(kind, None)
        registry.BACKENDS.pop(kind, None)


# ------------------------------------------------------------------------------------ front door


def test_everything_in_all_can_be_had_and_nothing_else() -> None:
    assert dir(harness) == sorted(harness.__all__)
    for name in harness.__all__:
        assert getattr(harness, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'orchestrator'"):
        harness.orchestrator  # noqa: B018


def test_every_error_class_can_be_had_from_the_package() -> None:
    from harness.errors import tree

    ours = {cls.__name__ for cls in tree() if cls.__module__ == "harness.errors"}
    assert ours <= set(harness.__all__)


@pytest.mark.parametrize("first", ["import harness.run.state", "from harness.run import execute"])
def test_run_is_the_function_even_when_the_subpackage_came_first(first: str) -> None:
    code = f"{first}\nimport harness\nprint(harness.run.__module__, harness.run.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["harness.api", "run"]
