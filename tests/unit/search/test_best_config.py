"""Which config becomes the directory, and in which words."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.rows import measurement

from harness.analysis.best import Choice
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import HarnessError, ServerError
from harness.results.events import Best
from harness.results.rows import LoadedRow
from harness.results.store import RunData
from harness.scenario.points import Point
from harness.search.best_config import _none, _serving, pick, write_best


def row(config: str) -> SummaryRow:
    point = Point("t", config, 1, concurrency=1)
    (found,) = summarize([measurement(point=point.id, backend="t", config=config)])
    return found


A, B = row("default"), row("i2")


def test_no_candidates_no_directory() -> None:
    assert pick(Choice((), (), None, False)) is None


def test_a_winner() -> None:
    found = pick(Choice((B, A), (B,), B, True))
    assert found is not None
    assert (found.row, found.tied, found.why) == (B, (), "better than every other config")


def test_of_a_tie_the_recommended_one_and_the_others_named() -> None:
    found = pick(Choice((B, A), (B, A), A, True, close=(B, A)))
    assert found is not None
    assert (found.row, found.tied) == (A, ("t/i2",))
    assert found.why == "of those that can't be told apart, the cheapest in memory"


def test_of_a_wide_tie_only_those_near_the_best_are_compared_by_memory() -> None:
    far = row("i4")
    found = pick(Choice((B, A, far), (B, A, far), A, True, close=(B, A)), 0.1)
    assert found is not None
    assert found.why == (
        "of those that can't be told apart and measured within 10 % of the best, the cheapest in "
        "memory"
    )


@pytest.mark.parametrize(
    ("value", "bounds", "said"),
    [
        (0.8379, {"max": 20.0}, "0.8379, where at most 20 is asked (held by the value, which"),
        (25.0, {"max": 20.0}, "25, where at most 20 is asked (missed by 25%)"),
        (20.001, {"max": 20.0}, "20.001, where at most 20 is asked (missed by 0.005%)"),
        (81920.0, {"max": 20.0}, "81920, where at most 20 is asked (missed by 409,500%)"),
        (2.0, {"min": 4.0}, "2, where at least 4 is asked (missed by 50%)"),
        (2.0, {"max": 0.0}, "2, where at most 0 is asked (missed)"),
        (None, {"max": 20.0}, "n/a, where at most 20 is asked"),
    ],
)
def test_what_the_nearest_point_lacks_is_said_at_every_size(
    value: float | None, bounds: dict[str, float], said: str
) -> None:
    name = "gpu_memory_mib" if value is None else "throughput"
    values = {} if value is None else {name: value}
    point = Point("t", "default", 1, concurrency=1)
    rows = summarize([measurement(point=point.id, backend="t", config="default", **values)])
    text = _none(rows, {name: bounds})
    assert text.startswith("no point is shown to hold every constraint; the nearest, t/b1/c1, has ")
    assert f"{name} {said}" in text


def test_points_of_one_config_are_no_tie() -> None:
    found = pick(Choice((B, B), (B, B), B, True))
    assert found is not None
    assert (found.tied, found.why) == ((), "the only config that can be ranked")


def test_one_round_decides_nothing_but_the_best_value_is_written() -> None:
    found = pick(Choice((B, A), (B, A), None, False))
    assert found is not None
    assert (found.row, found.tied) == (B, ())
    assert "no difference can be shown" in found.why


def test_of_a_front_the_first_and_the_others_named() -> None:
    found = pick(Choice((B, A), (B, A), None, True, is_front=True))
    assert found is not None
    assert (found.row, found.tied) == (B, ("t/default",))
    assert "Pareto front" in found.why


def config(backend: str, serve: str = "") -> str:
    parameter = f'parameters {{ key: "serve" value {{ string_value: "{serve}" }} }}'
    return f'backend: "{backend}"\n{parameter if serve else ""}'


def test_what_the_directory_needs_is_said() -> None:
    embedded = "harness triton serve --repository best"
    onnx = _serving("A=1 ", [config("python", "onnxruntime")])
    assert f"    A=1 {embedded}" in onnx
    assert "Python with `onnxruntime`" in onnx
    assert "cache" not in onnx
    away = _serving("", [config("python", "onnxruntime"), config("python", "tensorrt")])
    assert "runs TensorRT needs" in away
    assert "files of the harness's cache" in away
    native = _serving("", [config("onnxruntime")])
    assert embedded not in native
    assert 'tritonserver --model-repository="$PWD"/best' in native
    steps = 'platform: "ensemble" ensemble_scheduling { step { model_name: "a" } }'
    assert "The ensemble's steps are not here" in _serving("", [steps])


def searched(folder: Path, model: str = "m", directory: str = "models/m") -> RunData:
    """A run that searched, with the directory of its only config."""
    served = folder / "models" / "m"
    (served / "1").mkdir(parents=True)
    (served / "config.pbtxt").write_text(config("python", "onnxruntime"))
    (served / "1" / "model.py").write_text("pass")
    details = {"settings": {}, "model_directory": directory}
    manifest = {"scenario": {
        "model": {"name": "m", "source": {"triton": model}},
        "backends": [{"name": "a", "kind": "triton"}], "objective": "throughput",
    }}  # fmt: skip
    loaded = LoadedRow("a", 0, 1.0, 1.0, None, 1.0, None, details)
    return RunData(folder, manifest, (loaded, measurement()))


def test_a_run_directory_becomes_the_best_config(tmp_path: Path) -> None:
    assert write_best(searched(tmp_path / "run"), tmp_path / "out").directory == "best/m"
    assert (tmp_path / "out" / "best" / "m" / "1" / "model.py").read_text() == "pass"


@pytest.mark.parametrize("name", ["../../../own", "/tmp/own", "..", ".", "a/b"])
def test_a_model_name_writes_nothing_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ServerError, match="can't be called"):
        write_best(searched(tmp_path / "run", model=name), tmp_path / "a" / "b" / "out")
    assert not {p.name for p in tmp_path.iterdir()} - {"a", "run"}


def other(folder: Path) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "mine.onnx").write_text("private")
    (folder / "config.pbtxt").write_text(config("python"))
    return folder


@pytest.mark.parametrize("directory", ["ABSOLUTE", "../other", "models/link"])
def test_a_model_directory_outside_is_not_copied(tmp_path: Path, directory: str) -> None:
    private = other(tmp_path / "other")
    run = searched(tmp_path / "run", directory=directory.replace("ABSOLUTE", str(private)))
    (tmp_path / "run" / "models" / "link").symlink_to(private)
    with pytest.raises(ServerError, match="leads out of"):
        write_best(run, tmp_path / "out")


def linked(run: Path, private: Path) -> None:
    (run / "models" / "m" / "1" / "link").symlink_to(private / "1" / "mine.onnx")


def linked_config(run: Path, private: Path) -> None:
    (run / "models" / "m" / "config.pbtxt").unlink()
    (run / "models" / "m" / "config.pbtxt").symlink_to(private / "config.pbtxt")


def parameter(run: Path, private: Path) -> None:
    file = f'parameters {{ key: "onnx" value {{ string_value: "{private / "1" / "mine.onnx"}" }} }}'
    (run / "models" / "m" / "config.pbtxt").write_text(config("python") + file)


@pytest.mark.parametrize("lead", [linked, linked_config, parameter])
def test_files_outside_are_not_copied_but_by_the_run_itself(tmp_path: Path, lead: Any) -> None:
    run, private = searched(tmp_path / "run"), other(tmp_path / "other")
    lead(run.path, private)
    with pytest.raises(ServerError, match="leads out of"):
        write_best(run, tmp_path / "out")
    assert not (tmp_path / "out" / "best").exists()
    best = write_best(run, own=True)
    again = replace(run, events=(*run.events, best))
    if lead is not linked_config:
        assert write_best(again, tmp_path / "out").directory == "best/m"
        (copied,) = (p for p in (tmp_path / "out" / "best").rglob("1/*") if p.suffix != ".py")
        assert (copied.read_text(), copied.is_symlink()) == ("private", False)


def device(version: Path) -> None:
    (version / "model.plan").symlink_to("/dev/zero")


def pipe(version: Path) -> None:
    os.mkfifo(version / "model.plan")


def circle(version: Path) -> None:
    for name in "ab":  # 2^40 folders, were it followed until the kernel refuses
        (version / name).symlink_to("..")


def hole(version: Path) -> None:
    with (version / "model.plan").open("wb") as file:
        file.truncate(2**42)


@pytest.mark.parametrize(("lead", "words"), [
    (device, "is a device, not a regular file"), (pipe, "is a named pipe, not a regular file"),
    (circle, "has too many files, or links in a circle"), (hole, "can't be copied: .*No space"),
])  # fmt: skip
def test_what_has_no_end_is_not_copied(tmp_path: Path, lead: Any, words: str) -> None:
    run = searched(tmp_path / "run")
    lead(run.path / "models" / "m" / "1")
    with pytest.raises(HarnessError, match=words):
        write_best(run, own=True)
    assert sorted(p.name for p in run.path.iterdir()) == ["models"]


def test_the_earlier_best_is_data_too(tmp_path: Path) -> None:
    run, private = searched(tmp_path / "run"), other(tmp_path / "other")
    linked(run.path, private)
    (run.path / "best" / "m").mkdir(parents=True)
    (run.path / "best" / "m" / "1").symlink_to(private / "1")
    with pytest.raises(ServerError, match="leads out of"):
        write_best(replace(run, events=(*run.events, Best("a", "default"))), tmp_path / "out")


def test_the_unfinished_folder_may_be_no_link(tmp_path: Path) -> None:
    run = searched(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (run.path / ".best.new").symlink_to(tmp_path / "mine")
    write_best(run)
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("manifest", [
    {}, {"scenario": {}}, {"scenario": {"model": {}}}, {"scenario": {"model": {"source": {}}}},
])  # fmt: skip
def test_a_manifest_without_the_model_is_said(tmp_path: Path, manifest: dict[str, Any]) -> None:
    data = replace(searched(tmp_path / "run"), manifest=manifest)
    with pytest.raises(ServerError, match=r"manifest\.json does not say what the model is called"):
        write_best(data, tmp_path / "out")
    data = replace(data, manifest={"scenario": {"model": {"name": "m"}}})  # no backends: alone
    assert write_best(data, tmp_path / "out").directory == "best/m"
