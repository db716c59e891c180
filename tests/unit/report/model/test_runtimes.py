"""Which versions the report names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.synthetic_run import CPU_BACKENDS, GPU_BACKENDS, write_run

from harness.report.model.context import Context, build_context
from harness.report.model.runtimes import driver, runtimes
from harness.report.sections.environment import machine_table, packages_table
from harness.report.sections.summary import facts
from harness.results.rows import LoadedRow
from harness.results.store import read_run


def test_what_the_backends_said_when_they_loaded(cpu: Context, gpu: Context) -> None:
    assert runtimes(cpu) == [
        ("torch", "2.13.0"), ("ONNX Runtime", "1.24.1"), ("Triton", "2.51.0"),
    ]  # fmt: skip
    assert (driver(cpu), driver(gpu)) == ("", "570.86.15")


def test_tensorrt_is_named_by_its_flavor(tmp_path: Path) -> None:
    engine = replace(GPU_BACKENDS[2], name="tensorrt-fp16", kind="tensorrt")
    run = write_run(tmp_path / "r", backends=(GPU_BACKENDS[0], engine), gpu=True, failures=False)
    context = build_context(read_run(run))
    assert ("TensorRT-RTX", "1.6.1.120") in runtimes(context)
    assert "Triton" not in dict(runtimes(context))
    assert "TensorRT-RTX 1.6.1.120, driver" in dict(facts(context))["Versions"]


def test_two_versions_in_one_run_are_both_named(cpu: Context) -> None:
    events = [
        replace(e, details={"onnxruntime": "1.31.1"})
        if isinstance(e, LoadedRow) and e.backend == CPU_BACKENDS[1].name and e.round == 1
        else e
        for e in cpu.data.events
    ]
    two = build_context(replace(cpu.data, events=tuple(events)))
    assert dict(runtimes(two))["ONNX Runtime"] == "1.24.1, 1.31.1"


def test_without_a_load_the_package_says_it_and_of_two_the_one_that_is_imported(
    cpu: Context,
) -> None:
    packages = {"onnxruntime": "1.30.0", "onnxruntime-gpu": "1.31.1"}
    events = tuple(e for e in cpu.data.events if not isinstance(e, LoadedRow))
    data = replace(cpu.data, events=events, manifest={**cpu.manifest, "packages": packages})
    assert runtimes(build_context(data)) == [("ONNX Runtime", "1.31.1")]


def test_the_environment_lists_them_colocated_the_packages(cpu: Context) -> None:
    facts = {row[0].text: row[1].text for row in machine_table(cpu).rows}
    assert facts["Triton"] == "2.51.0"
    found = packages_table(cpu)
    assert found is not None
    assert {row[0].text: row[1].text for row in found.rows}["torch"] == "2.13.0"
    assert facts["torch"] == "2.13.0"
