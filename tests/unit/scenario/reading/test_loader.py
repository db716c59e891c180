"""Every bad scenario gives exactly the mistakes it says it has; good ones load as written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from support.paths import ROOT

from harness.errors import Problem, ScenarioError, UsageError
from harness.scenario.reading import messages
from harness.scenario.reading.loader import LARGEST, load, load_text
from harness.scenario.spec.scenario import Scenario

BAD = ROOT / "tests" / "data" / "bad_scenarios"
GOOD = sorted((ROOT / "scenarios").glob("*.yaml"))
CASES = sorted(BAD.glob("*.yaml"))

JARGON = re.compile(
    r"input should|valid (integer|string|number|boolean|dictionary|list|tuple)|pydantic|literal"
    r"|extra inputs|field required|discriminator|tag using|validation error|value error|\(mistake\)"
    r"|instance of|unable to|traceback|NoneType|dict_type|model_type|<class",
    re.IGNORECASE,
)

MINIMAL = """\
scenario: s
model: {name: n, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends: {kind: torch}
"""


class Expected(NamedTuple):
    where: str
    path: str
    part: str
    suggestion: str


def expectations(case: Path) -> tuple[list[Expected], list[str]]:
    """From the comments at the top of the file, or of NAME.expect beside it."""
    side = case.with_suffix(".expect")
    lines = (side if side.exists() else case).read_text("utf-8").splitlines()
    fields = [line[len("# expect:") :].split("|") for line in lines if line.startswith("# expect:")]
    expected = [Expected(*[f.strip() for f in [*each, "", ""]][:4]) for each in fields]
    return expected, [line[len("# set: ") :] for line in lines if line.startswith("# set: ")]


def problems_of(case: Path, sets: list[str]) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as caught:
        load(case, sets)
    return caught.value.problems


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.stem)
def test_bad_scenario(case: Path) -> None:
    expected, sets = expectations(case)
    problems = problems_of(case, sets)
    assert expected, "the case says nothing about its mistakes"
    found = [
        Expected(
            f"--set:{p.line}:{p.column}" if p.file == "--set" else f"{p.line}:{p.column}",
            p.path,
            e.part if e.part in p.message else p.message,
            p.suggestion or "",
        )
        for p, e in zip(problems, [*expected, *[Expected("", "", "\0", "")] * 99], strict=False)
    ]
    assert found == expected


def test_the_corpus_is_large_and_its_messages_plain() -> None:
    problems = [p for case in CASES for p in problems_of(case, expectations(case)[1])]
    assert len(CASES) >= 80
    assert [str(p) for p in problems if JARGON.search(p.message)] == []
    assert [str(p) for p in problems if messages.UNKNOWN in p.message] == []
    assert [p for p in problems if "\n" in str(p)] == []


def test_one_line_of_an_error(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(MINIMAL.replace("{kind: torch}", "\n  - {kind: torch, precison: fp16}"))
    with pytest.raises(ScenarioError) as caught:
        load(file)
    message = "unknown key; did you mean 'precision'?"
    assert str(caught.value) == f"{file}:4:19: backends[0].precison: {message}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("file", GOOD, ids=lambda p: p.stem)
def test_ready_scenarios_load_and_read_back_as_they_were_resolved(file: Path) -> None:
    loaded = load(file)
    assert loaded.text == file.read_text("utf-8")
    assert loaded.path == file
    assert Scenario.model_validate(loaded.scenario.model_dump(mode="json")) == loaded.scenario


def test_quickstart_is_what_the_readme_says() -> None:
    scenario = load(ROOT / "scenarios" / "quickstart.yaml").scenario
    kinds = [(b.kind, getattr(b, "protocol", None)) for b in scenario.backends]
    assert kinds == [
        ("torch", None),
        ("onnxruntime", None),
        ("triton", "http"),
        ("triton", "grpc"),
    ]
    assert scenario.model.source.torch == "harness.models.resnet:resnet50"
    assert scenario.model.inputs[0].shape == ("batch", 3, 224, 224)
    assert (scenario.load.batch_sizes, scenario.load.concurrency) == ((1, 4), (1, 2, 4))
    assert scenario.measurement.rounds == 3


def test_paths_are_relative_to_the_file_and_come_out_absolute(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    shutil.copy(ROOT / "scenarios" / "models" / "tiny-mlp.onnx", tmp_path / "sub" / "net.onnx")
    file = tmp_path / "sub" / "s.yaml"
    file.write_text(
        "scenario: s\nmodel: {name: n, source: {onnx: net.onnx}}\nbackends: {kind: onnxruntime}\n"
    )
    assert load(file).scenario.model.source.onnx == str(tmp_path / "sub" / "net.onnx")


def test_paths_in_overrides_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(MINIMAL)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "w.pt").write_bytes(b"")
    monkeypatch.chdir(tmp_path / "elsewhere")
    loaded = load(file, ["model.source.weights=w.pt"])
    assert loaded.scenario.model.source.weights == str(tmp_path / "elsewhere" / "w.pt")
    assert loaded.overrides == ("model.source.weights=w.pt",)


def test_data_files_repository_and_single_values_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(b"")
    text = MINIMAL.replace("[batch, 4]", "[batch, 4], data: {files: x.npy}")
    scenario = load_text(text, directory=tmp_path)
    data = scenario.model.inputs[0].data
    assert not isinstance(data, str)
    assert data.files == (str(tmp_path / "x.npy"),)
    served = "scenario: s\nmodel: {name: n, source: {triton: n}}\nbackends:\n  kind: triton\n"
    served += "  protocol: http\n  server: {repository: .}\n"
    backend = load_text(served, directory=tmp_path).backends[0]
    assert backend.kind == "triton"
    assert backend.server.repository == str(tmp_path)


def test_anchors_and_merge_keys() -> None:
    text = """\
scenario: s
x-shared: &shared {kind: torch, threads: 2, device: cpu}
model: {name: n, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - *shared
  - {<<: *shared, name: four, threads: 4}
  - {<<: [{precision: bf16}, *shared], threads: 1}
"""
    backends = load_text(text).backends
    assert [(b.name, getattr(b, "threads", None)) for b in backends] == [
        ("torch-cpu-fp32", 2),
        ("four", 4),
        ("torch-cpu-bf16", 1),
    ]


def test_an_override_of_a_shared_mapping_changes_one_backend_only() -> None:
    text = MINIMAL.replace("{kind: torch}", "\n  - &a {kind: torch}\n  - {<<: *a, name: second}\n")
    backends = load_text(text, sets=["backends[0].precision=bf16"]).backends
    assert [getattr(b, "precision", None) for b in backends] == ["bf16", "fp32"]


def test_whole_numbers_do_for_numbers_and_fake_models_need_no_inputs() -> None:
    text = "scenario: s\nmodel: {name: n, source: {fake: {}}}\n"
    text += "backends: {kind: fake, service_time_ms: 4}\n"
    scenario = load_text(text)
    assert scenario.model.inputs == ()
    backend = scenario.backends[0]
    assert backend.kind == "fake"
    assert backend.service_time_ms == 4.0


def test_half_precision_on_the_cpu_is_allowed() -> None:
    for precision in ("fp16", "bf16"):
        scenario = load_text(MINIMAL, sets=[f"backends.precision={precision}"])
        assert scenario.backends[0].name == f"torch-cpu-{precision}"


@pytest.mark.parametrize(
    ("name", "part"),
    [("absent.yaml", "there is no file"), (".", "is a directory"), ("a\0b", "can't read")],
)
def test_what_is_no_file_is_a_usage_error(tmp_path: Path, name: str, part: str) -> None:
    with pytest.raises(UsageError, match=part) as caught:
        load(tmp_path / name)
    assert not isinstance(caught.value, ScenarioError)


def test_a_misspelt_file_name_is_suggested(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text("")
    with pytest.raises(UsageError) as caught:
        load(tmp_path / "quikstart.yaml")
    assert caught.value.fix == f"did you mean {tmp_path / 'quickstart.yaml'}?"


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_bytes(b"#" * (LARGEST + 1))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load(file)


def test_a_path_through_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(MINIMAL)
    with pytest.raises(UsageError, match=r"can't read .*: Not a directory"):
        load(tmp_path / "s.yaml" / "t.yaml")


def test_a_pipe_is_no_scenario_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(UsageError, match=r"s\.yaml is a named pipe, not a regular file"):
        load(tmp_path / "s.yaml")


def test_a_pipe_that_the_shell_passes_is_read() -> None:
    read, write = os.pipe()
    os.write(write, (ROOT / "scenarios/quickstart.yaml").read_bytes())
    os.close(write)
    try:
        assert load(Path(f"/dev/fd/{read}")).scenario.scenario
    finally:
        os.close(read)
