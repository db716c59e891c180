"""What is refused, and what is said to differ."""

from __future__ import annotations

from dataclasses import replace

from harness.compare.comparable import changed, output_drift, outputs_said, refusals, unequal
from harness.compare.side import Outputs, Side, SidePoint

MACHINE = {"cpu": "X", "cores": 8, "gpus": ["H100"], "governor": "performance", "turbo": True}
POINT = SidePoint({"p50": {0: 4.0}})
SIDE = Side(
    "a", "run-a", "", MACHINE, "560.1", {"model": {"name": "m"}, "load": {}, "measurement": {}},
    {"precision": "fp32"}, {"onnxruntime": "1.22.1"}, {"b1/c1": POINT},
)  # fmt: skip


def test_the_same_is_comparable() -> None:
    assert refusals(SIDE, SIDE) == []
    assert changed(SIDE, SIDE) == {}
    assert unequal(SIDE, SIDE) == []


def test_another_gpu_other_clocks_and_another_scenario_are_refused() -> None:
    conditions = {**SIDE.conditions, "load": {"concurrency": [1]}}
    machine = {**MACHINE, "gpus": ["A10"], "turbo": False}
    other = replace(SIDE, machine=machine, conditions=conditions, points={})
    said = refusals(SIDE, other)
    assert any("gpus[0] was 'H100', is 'A10'" in text for text in said)
    assert any("turbo was True, is False" in text for text in said)
    assert any("the scenario differs: load" in text for text in said)
    assert said[-1] == "they have no point in common"


def test_a_driver_may_be_what_differs() -> None:
    other = replace(SIDE, driver="580.2", versions={"onnxruntime": "1.23.2", "numpy": "2.0"})
    assert refusals(SIDE, other) == []
    assert changed(SIDE, other) == {
        "numpy": ("", "2.0"), "onnxruntime": ("1.22.1", "1.23.2"), "GPU driver": ("560.1", "580.2"),
    }  # fmt: skip


def test_a_package_is_the_same_whatever_way_its_name_is_written() -> None:
    base = replace(SIDE, versions={"tensorrt-rtx-cu13": "1.7", "tensorrt (loaded)": "1.7"})
    other = replace(SIDE, versions={"Tensorrt_RTX.cu13": "1.7", "tensorrt (loaded)": "1.6"})
    assert changed(base, other) == {"tensorrt (loaded)": ("1.7", "1.6")}


def test_what_could_not_be_held_equal() -> None:
    other = replace(SIDE, settings={"precision": "tf32"}, points={
        "b1/c1": replace(POINT, disturbed=4)})  # fmt: skip
    base = replace(SIDE, machine={**MACHINE, "governor": "powersave"})
    assert unequal(base, other) == [
        "precision: fp32 against tf32",
        "the CPU's governor is powersave: its clock may wander",
        "every round of a was disturbed from outside: b1/c1",
    ]


def test_a_setting_that_only_the_other_kind_has_counts_where_it_is_on() -> None:
    base = replace(SIDE, settings={"compile": False, "device": "cpu"})
    assert unequal(base, replace(SIDE, settings={"cuda_graphs": False})) == [
        "device: cpu against not set"
    ]


def outputs(status: str, error: float | None) -> dict[str, Outputs]:
    return {"b1": Outputs(status, error, error, "|a−b| < 1", "off by 3")}


def test_outputs_are_a_verdict_of_their_own() -> None:
    right = replace(SIDE, outputs=outputs("agrees", 1e-6))
    wrong = replace(SIDE, outputs=outputs("disagrees", 3.0))
    assert output_drift(right, wrong).startswith("batch 1: the candidate's outputs disagree")
    assert output_drift(wrong, wrong) == output_drift(wrong, right) == ""
    (said,) = outputs_said(right, replace(SIDE, outputs=outputs("agrees", 1e-4)))
    assert said.endswith("much further than before")
    (said,) = outputs_said(right, right)
    assert "batch 1: off from the reference by up to 1e-06 (base) and 1e-06 (candidate)" in said
    assert outputs_said(right, SIDE) == []
    assert outputs_said(replace(SIDE, outputs=outputs("unavailable", None)), right) == []
