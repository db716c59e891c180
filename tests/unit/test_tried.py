"""docs/tried.md says what the records show, and the code names what they do not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.paths import ROOT

from harness.system import untried


@pytest.fixture(scope="module")
def tried() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tried", ROOT / "benchmarks" / "tried.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tried"] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_what_the_script_makes(tried: ModuleType) -> None:
    for path, text in tried.made().items():
        assert path.read_text("utf-8") == text, "run: PYTHONPATH=. python benchmarks/tried.py"


def test_the_code_names_what_no_record_shows(tried: ModuleType) -> None:
    absent = tried.never(tried.sightings())
    assert ("tensorrt" in absent) is bool(untried.of_flavor("tensorrt"))
    assert {"docker", "mig", "gpus/other", "triton/onnxruntime", "triton/tensorrt"} <= set(absent)
    for key in ("h100", "h200"):
        assert (key not in absent) is (f"NVIDIA {key.upper()}" in untried.RAN_ON)


def test_every_file_that_shows_something_exists(tried: ModuleType) -> None:
    assert [name for name in tried.TESTS if not (ROOT / name).exists()] == []
    assert {s for shown in tried.TESTS.values() for s in shown} <= set(tried.SUBJECTS)
    assert {s.subject for s in tried.sightings()} <= set(tried.SUBJECTS)


def test_a_backend_shows_what_ran_and_not_what_was_asked_for(tried: ModuleType) -> None:
    def of(settings: dict[str, object], **details: object) -> dict[str, str]:
        return dict(tried.of_settings(settings, details))

    assert of({"kind": "tensorrt", "flavor": "auto"}, flavor="tensorrt-rtx", tensorrt="1.6") == {
        "tensorrt-rtx": "1.6"
    }
    assert of({"kind": "tensorrt", "flavor": "tensorrt"}) == {}  # it never said what it loaded
    assert of({"kind": "torch", "device": "cuda:1", "compile": True}, torch="2") == {
        "compile/cuda": "2"
    }
    served = {"kind": "triton", "serve": "onnxruntime", "server": {"docker": {"image": "i"}}}
    assert of(served, server_version="2.60") == {"docker": "2.60", "triton/onnxruntime": "2.60"}


def test_logs_of_tests_are_counted_by_file(tried: ModuleType, tmp_path: Path) -> None:
    log = "tests/gpu/test_torch.py ..F [ 17%]\ntests/gpu/test_limits.py sss [ 20%]\n"
    assert tried.log_files(log) == {
        "tests/gpu/test_torch.py": {"passed": 2, "failed": 1, "skipped": 0},
        "tests/gpu/test_limits.py": {"passed": 0, "failed": 0, "skipped": 3},
    }
    junit = tmp_path / "junit.xml"
    junit.write_text(
        '<testsuites><testsuite><testcase classname="tests.gpu.test_limits.TestX" name="a"/>'
        '<testcase classname="tests.gpu.test_limits" name="b"><skipped/></testcase>'
        '<testcase classname="tests.gpu.test_limits" name="c"><failure/></testcase>'
        "</testsuite></testsuites>"
    )
    counts = {"passed": 1, "failed": 1, "skipped": 1}
    assert tried.junit_files(junit) == {"tests/gpu/test_limits.py": counts}


def test_a_trial_on_the_cpu_shows_nothing_of_a_gpu(tried: ModuleType, tmp_path: Path) -> None:
    record = {
        "machine": {"gpus": []}, "packages": {}, "started": "2026-01-01", "device": "cpu",
        "cases": {"a": {"settings": {"kind": "torch", "device": "cuda"}, "details": {}}},
    }  # fmt: skip
    (path := tmp_path / "x.json").write_text(json.dumps(record))
    assert list(tried.of_benchmark(path)) == []
