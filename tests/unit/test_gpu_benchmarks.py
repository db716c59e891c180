"""The arithmetic of benchmarks/gpu: what its pages say follows from what was measured."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.rows import measurement
from support.scaled import run
from support.shared import full, write_shared
from support.shared import scenario as shared
from support.synthetic_run import Synthetic, write_run

from harness.analysis.intervals import Interval
from harness.analysis.summary import summarize
from harness.results.rows import LoadedRow, ServerOnlyRow
from harness.results.series import Quantity, SeriesKey, TelemetrySeries, write_parquet
from harness.results.store import JOURNAL, MANIFEST, RunData, read_run

FOLDER = str(ROOT / "benchmarks" / "gpu")
MIB = 2**20


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if FOLDER in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


LOG = """\
[I:onnxruntime:Default, bfc_arena.cc:281 Reserve] Reserving memory in BFCArena for Cuda size: 1000
[I:onnxruntime:Default, bfc_arena.cc:335 AllocateRawInternal] Extending BFCArena for Cuda. \
bin_num:3 (requested) num_bytes: 2048 (actual) rounded_bytes:2048
[I:onnxruntime:Default, bfc_arena.cc:205 Extend] Extended allocation by 500 bytes.
[I:onnxruntime:Default, bfc_arena.cc:208 Extend] Total allocated bytes: 1500
[I:onnxruntime:Default, bfc_arena.cc:335 AllocateRawInternal] Extending BFCArena for Cpu. \
bin_num:3 (requested) num_bytes: 2048 (actual) rounded_bytes:2048
[I:onnxruntime:Default, bfc_arena.cc:205 Extend] Extended allocation by 7 bytes.
"""


def test_the_arena_is_what_the_log_says_of_its_name(load: Any) -> None:
    arena_bytes = load("memory").arena_bytes
    assert arena_bytes(LOG, "Cuda") == 1500
    assert arena_bytes(LOG, "Cpu") == 7
    assert arena_bytes(LOG, "CudaPinned") == 0


def _stage(name: str, held: float, smi: float, **allocators: int) -> dict[str, Any]:
    return {
        "stage": name, "pid": 7, "allocators": allocators, "process_peak": held * MIB,
        "process_held": held * MIB, "smi": {"bytes": {"7": smi * MIB}},
    }  # fmt: skip


def test_explained_is_context_allocators_and_what_remains(load: Any) -> None:
    loaded = _stage("b1/c1", 1000, 800, torch_reserved=400 * MIB, torch_allocated=300 * MIB)
    idle = _stage("idle", 605, 605, torch_reserved=5 * MIB)
    stages = [_stage("baseline", 0, 0), {**loaded, "after": idle}]
    parts = load("render")._memory_parts("torch", {"stages": stages}, 500 * MIB)
    rows = [p.cells() for p in parts]
    assert rows[1][2:] == (
        "1,000.0", "800.0", "25.0 %", "400.0", "100.0", "–", "500.0", "1,000.0", "100.0 %",
    )  # fmt: skip
    assert rows[0][5:] == ("–",) * 6


@pytest.mark.parametrize(
    ("peaks", "said"),
    [
        ((1000, 1000), "None of the 2 sums is off by more than the target."),
        ((1019, 981), "None of the 2 sums is off by more than the target."),
        ((1000, 1050), "1 of the 2 sums is off by more than the target: `torch` at b1/c2 (95.2 %: "
         "50.0 MiB unexplained)."),
        ((900, 1050), "2 of the 2 sums are off by more than the target: `torch` at b1/c1 (111.1 %: "
         "100.0 MiB too much), `torch` at b1/c2 (95.2 %: 50.0 MiB unexplained)."),
    ],
)  # fmt: skip
def test_stages_that_miss_the_target_are_named(
    load: Any, peaks: tuple[int, int], said: str
) -> None:
    render = load("render")
    after = _stage("idle", 600, 0)
    stages = [_stage("baseline", 0, 0)]
    for number, peak in enumerate(peaks, 1):
        stage = _stage(f"b1/c{number}", peak, 0, torch_reserved=400 * MIB)
        stages.append({**stage, "after": after})
    parts = list(render._memory_parts("torch", {"stages": stages}, 5e8))
    # what the threads' share is computed from would always agree, so it isn't counted
    same = [replace(p, backend=render.HANDLES) for p in parts]
    assert render._missed([*parts, *same]) == said


def test_threads_that_call_onnxruntime_are_counted(load: Any) -> None:
    render = load("render")

    def tiny_stage(name: str, peak: int, arena: int, left: int) -> dict[str, Any]:
        stage = _stage(name, peak, 0, arena=arena * MIB)
        return {**stage, "after": _stage("idle", left, 0, arena=MIB)}

    tiny = {"stages": [
        tiny_stage("weights", 580, 0, 580), tiny_stage("warm", 652, 2, 581),
        tiny_stage("b1/c1", 700, 2, 590), tiny_stage("b1/c4", 1008, 8, 601),
    ]}  # fmt: skip
    handles = render.caller_bytes(tiny)
    assert handles == (70 * MIB, 100 * MIB)
    stages = [
        {**_stage("weights", 550, 0, arena=9 * MIB),
         "after": _stage("idle", 540, 0, arena=10 * MIB)},
        {**_stage("b1/c4", 990, 0, arena=60 * MIB), "after": _stage("idle", 580, 0)},
    ]  # fmt: skip
    parts = render._memory_parts("onnxruntime-fp32", {"stages": stages}, 500 * MIB, handles)
    rows = [p.cells() for p in parts]
    assert rows[0][5:] == ("9.0", "30.0", "–", "500.0", "539.0", "98.0 %")
    assert rows[1][5:] == ("60.0", "80.0", "400.0", "500.0", "1,040.0", "105.1 %")


def test_shares_of_the_limits(load: Any) -> None:
    limits = {
        "size": 1000, "matmul": {"fp16": {"seconds": [1.0, 2.0, 9.0]}},
        "copy_bytes": 100, "copy": {"seconds": [1.0]},
    }  # fmt: skip
    model = {"flop": 10**8, "fused_elements": 30, "parameters": 80}
    cases = {"limits": limits, "model": model}
    assert load("render").shares(cases, "fp16", 4, 2.0) == (0.2, 2 * 2 * (30 + 20) / 200)


def test_what_could_not_be_measured_is_listed(load: Any) -> None:
    row = {"batch": 8, "images_s": 1.0}
    cases = {
        "limits": {}, "ort": {"rows": [row, {"batch": 128, "error": "no\nmemory "}], "skipped": []},
        "torch": {"rows": [row], "skipped": [8, 1]},
    }  # fmt: skip
    assert load("render").unmeasured(cases) == [
        "Not measured:", "", "* `ort` at batch 128: no memory",
        "* `torch` at batch 8, 1: its time had run out", "",
    ]  # fmt: skip
    assert load("render").unmeasured({"ort": {"rows": [row], "skipped": []}}) == []


@pytest.mark.parametrize(
    ("harness_ns", "verdict"),
    [((100, 101), "met"), ((103, 104), "missed"), ((90, 120), "not decided")],
)
def test_the_target_is_judged_by_the_interval(
    load: Any, harness_ns: tuple[int, int], verdict: str
) -> None:
    side = {"median_ns": 1e6, "spacing_ns": 1e6}
    turns = [
        {"harness_median_ns": ns * 1e4, "by_hand_median_ns": 1e6}
        for ns in (*harness_ns, *harness_ns, *harness_ns)
    ]
    case = {"pairs": [{"harness": side, "by_hand": side}] * 2, "turns": turns, "turns_a_block": 40}
    row = load("render")._overhead_row("torch", case)
    assert row[1] == "6 × 40"
    assert row[-1] == verdict


def _overhead(*ratios: float, **more: Any) -> dict[str, Any]:
    side = {"median_ns": 1e6, "spacing_ns": 1e6}
    turns = [{"harness_median_ns": r * 1e6 + n, "by_hand_median_ns": 1e6}
             for r in ratios for n in range(3)]  # fmt: skip
    return {"pairs": [{"harness": side, "by_hand": side}] * 2, "turns": turns, "turns_a_block": 40,
            **more}  # fmt: skip


def test_a_case_that_was_repeated_has_a_line_each_and_one_sentence(load: Any) -> None:
    details = {"torch": "2.11.0+cu130"}
    trt = {"tensorrt": "1.6", "flavor": "tensorrt-rtx"}
    data = {
        **MACHINE, "benchmark": "overhead", "command": ["python", "overhead.py"], "quick": False,
        "cases": {
            "torch": _overhead(1.01, 1.04, details=details), "trt": _overhead(1.01, details=trt),
        },
        "repeats": {"torch": [_overhead(1.03), _overhead(1.01)]}, "notes": ["Beside it ran a run."],
    }  # fmt: skip
    lines = load("render").overhead(data).lines
    rows = [line.split("|")[-2].strip() for line in lines if line.startswith("| `")]
    assert rows == ["not decided", "missed", "met", "met"]
    assert ("Not shown to meet the target: `torch` (1.025, 1.030, 1.010: 1 not decided, 1 missed, "
            "1 met).") in lines  # fmt: skip
    assert "Beside it ran a run." in lines
    assert any("torch 2.11.0+cu130, TensorRT-RTX 1.6." in line for line in lines)
    all_met = {**data, "cases": {"trt": _overhead(1.01)}, "repeats": {}, "notes": []}
    assert "All meet the target." in load("render").overhead(all_met).lines


def test_a_record_has_the_versions_of_what_the_backends_run_on(load: Any, tmp_path: Path) -> None:
    asked = argparse.Namespace(output=tmp_path, device="cpu", quick=True)
    packages = load("gpubench").Record("x", asked).data["packages"]
    assert packages["onnxruntime"] == importlib.metadata.version("onnxruntime")


def test_resnet50_costs_what_its_layers_cost(load: Any) -> None:
    pytest.importorskip("torch")
    cost = load("roofline").model_cost(None)
    assert cost["flop"] == pytest.approx(2 * 4.09e9, rel=0.01)  # 4.09 GMAC, as torchvision says
    assert cost["parameters"] == 25_557_032
    assert 11e6 < cost["fused_elements"] < cost["unfused_elements"]


def _lane_run(seconds: float, factor: float, **more: Any) -> dict[str, Any]:
    values = [100.0, 100.2, 99.9, 100.1]
    points = {"a/b1/c1": (1.0, []), "a/b16/c4": (factor, ["foreign_load"])}
    return {
        "seconds": seconds, "rounds": [0, 1, 2, 3], "failures": [], "spread": [], "cards": [],
        "points": {
            p: {"throughput": [v * f for v in values], "flags": flags}
            for p, (f, flags) in points.items()
        },
        **more,
    }  # fmt: skip


def test_lanes_are_judged_point_by_point_and_by_time(load: Any) -> None:
    lanes = load("lanes")
    cards = [{"name": "GPU 1", "rounds": 2, "value": 0.97, "low": 0.96, "high": 0.98}]
    many = _lane_run(52.0, 0.9, cards=cards, spread=["GPU 1 is slower"])
    alone = _lane_run(100.0, 1.0)
    found = lanes.beside(many, alone)
    assert [(b.point, b.verdict) for b in found] == [
        ("a/b1/c1", "equivalent"), ("a/b16/c4", "differs"),
    ]  # fmt: skip
    assert found[1].ratio.value == pytest.approx(0.9)
    one = lanes.ratio([100.0], [100.0, 101.0])
    assert one.low is None
    record = {
        "cases": {"first": {}, "lanes-1": alone, "lanes-2": many}, "packages": {},
        "command": ["python", "lanes.py"],
        "started": "2026-01-02", "machine": {
            "gpus": [], "cpu": {"model": "EPYC", "usable": 4}, "os": "Debian", "python": "3.11",
        },
    }  # fmt: skip
    text = "\n".join(lanes.page(record).lines)
    assert "| 2 | 52 | 1.92 | 1 of 2 | 1 | 0 |" in text
    assert "| a/b16/c4 | 0.9000" in text and "| GPU 1 | 2 | 0.9700 [0.9600, 0.9800] |" in text
    assert "GPU 1 is slower." in text


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_points_of_two_runs_lend_one_another_their_variance(load: Any, spread: float) -> None:
    """Simulated, of four rounds each: intervals hold the truth in 93 to 98 %, and a point that is
    2.01 % off is called equal in at most 4 %.
    """
    lanes, rng = load("lanes"), np.random.default_rng(1)
    held, equal, number = 0, 0, 0
    for _ in range(150):
        deviations = 0.006 * np.exp(rng.normal(0, spread, 24))
        alone, same, off = (
            [np.exp(rng.normal(shift, d, 4)) for d in deviations] for shift in (0, 0, 0.0199)
        )
        for one, two in zip(
            lanes.ratios(list(zip(same, alone, strict=True))),
            lanes.ratios(list(zip(off, alone, strict=True))),
            strict=True,
        ):
            number += 1
            held += one.low <= 1 <= one.high
            equal += lanes.Beside("p", two, ()).verdict == "equivalent"
    assert 0.93 <= held / number <= 0.98
    assert equal / number <= 0.04


def _tried(peak: int, request: int, *trials: tuple[int, str], **more: Any) -> dict[str, Any]:
    """A case of plan_caps with its trials: MiB and outcome."""
    made = [{"mib": mib, "outcome": word, "why": "memory ran out | here"} for mib, word in trials]
    return {"processes": 1, "predicted_mib": peak, "request_mib": request, "run_s": 9.0,
            "seconds": 41.0, "trials": made, **more}  # fmt: skip


def test_a_request_is_the_plans_of_each_process(load: Any) -> None:
    """700 MiB of a Triton with two stubs, of which the empty server has 300."""
    caps = load("plan_caps")
    one = measurement(round=1, gpu_memory_mib=700.0, gpu_memory_scope="process")
    first = measurement(gpu_memory_mib=900.0, gpu_memory_scope="process")
    empty = ServerOnlyRow("a", 0, 1.0, 400.0, 2.0, gpu_memory_mib=300.0)
    manifest = {"scenario": {"backends": [{"name": "a", "kind": "triton", "instances": 2}]}}
    data = RunData(Path("run"), manifest, (first, one, empty))
    (row,) = summarize(data.measurements)
    assert caps._planned(data, row) == (3, 300, 330)
    host = RunData(Path("run"), manifest, (measurement(host_memory_mib=200.0),))
    (row,) = summarize(host.measurements)
    assert caps._planned(host, row) == (1, 200, 220)


def test_a_predicted_smallest_is_judged_by_its_target(load: Any) -> None:
    caps = load("plan_caps")
    assert caps._off(1200.0, 1100) == ("+100 MiB (+9.1%)", "met")  # within 128 MiB
    assert caps._off(5200.0, 5000) == ("+200 MiB (+4.0%)", "met")  # within 5 %
    assert caps._off(1000.0, 1200) == ("−200 MiB (−16.7%)", "missed")
    assert caps._off(None, 1200) == ("–", "–")


def test_a_sample_a_second_misses_what_lies_between(load: Any, tmp_path: Path) -> None:
    """Readings 200 a second; a peak of 0.3 s within 5 s is seen at three phases of ten."""
    caps = load("plan_caps")
    t_ns = np.arange(0, 5_000_000_000, 5_000_000)
    value = np.where((t_ns >= 2_300_000_000) & (t_ns < 2_600_000_000), 900.0, 500.0) * MIB
    (tmp_path / "telemetry").mkdir()
    key = SeriesKey(Quantity.DEVICE_BYTES, "gpu0")
    write_parquet(tmp_path / "telemetry" / "r0.parquet", {key: TelemetrySeries(t_ns, value)})
    found = caps.sampled(tmp_path, Quantity.DEVICE_BYTES)
    assert (found["low_mib"], found["high_mib"], found["peak_mib"]) == (500.0, 900.0, 900.0)
    assert caps.sampled(tmp_path, Quantity.PROCESS_BYTES) is None


def test_the_page_of_caps_says_what_met_its_target_and_what_a_device_would_have_asked(
    load: Any,
) -> None:
    device = {"low_mib": 900.0, "high_mib": 2600.0, "peak_mib": 2700.0, "first_mib": 618.0}
    machine = {"gpus": [], "cpu": {"model": "x", "usable": 2}, "os": "y", "python": "z"}
    done = _tried(1200, 1320, (1320, "holds"), (1072, "fails"), (1100, "holds"), (1100, "holds"),
                  (1080, "fails"), processes=2, device=device, ended=True)  # fmt: skip
    data = {
        "machine": machine, "packages": {}, "started": "2026-11-28", "device": "cuda",
        "failures": {"encoder/torch": "no time was left"},
        "cases": {
            "context": {"plain": [9, 9], "1024": {"free_total": [700, 141_000], "control": "seen"}},
            "resnet50/triton-2": done,
            "encoder/tensorrt": _tried(1000, 1100, (1100, "fails")),
            "encoder/onnxruntime": _tried(1000, 1100, (1100, "holds"), (1000, "holds"),
                                          (956, "fails")),
        },
    }  # fmt: skip
    text = "\n".join(load("plan_caps").page(data).lines)
    assert (
        "| `resnet50/triton-2` | 2 | 1,200 | 1,320 | yes | 1,100 | +100 MiB (+9.1%) | met "
        "| 1080 MiB fails: memory ran out / here | 5 | 41 |"
    ) in text
    assert "| `encoder/tensorrt` | 1 | 1,000 | 1,100 | no | – | – | open | 1100 MiB fails" in text
    assert (
        "| `encoder/onnxruntime` | 1 | 1,000 | 1,100 | yes | 1,000 so far | 0 MiB (0.0%) | open"
        in text
    )
    assert "956 MiB fails: memory ran out" in text
    assert "2,200 | +400 MiB | fails or holds, by luck |" in text
    assert "324 MiB under a cap of 1,024 MiB" in text
    assert "- `encoder/torch`: no time was left" in text


def test_what_two_calls_found_on_one_gpu_is_put_together(load: Any, tmp_path: Path) -> None:
    parts = (
        {"a": {"ended": True}, "context": {"plain": [1]}},
        {"b": {}, "context": {"plain": [2]}},
    )
    for number, cases in enumerate(parts):
        (tmp_path / str(number)).mkdir()
        text = json.dumps({"cases": cases, "failures": {"b": "late", "c": "late"}})
        (tmp_path / str(number) / "plan-caps.json").write_text(text)
    found = load("plan_caps").merged([tmp_path / "0", tmp_path / "1"])
    assert found["cases"] == {"a": {"ended": True}, "context": {"plain": [1]}, "b": {}}
    assert found["failures"] == {"c": "late"}


def test_a_later_part_begins_no_case_again_that_was_verified(load: Any, tmp_path: Path) -> None:
    caps = load("plan_caps")
    cases = {"context": {"plain": [9, 9]}, "disarmed": {"above the card": "passed"},
             "encoder/torch": {"ended": True}, "resnet50/torch": {"cut": "late"}}  # fmt: skip
    record = argparse.Namespace(path=tmp_path / "plan-caps.json", data={"cases": {}})
    asked = argparse.Namespace(device="cuda")
    caps.resumed(asked, record)
    assert record.data["cases"] == {}
    record.path.write_text(json.dumps({"device": "cuda", "cases": cases}))
    caps.resumed(asked, record)
    assert record.data["cases"] == cases, "what was cut off says so until it is tried again"
    assert [case for case in cases if not caps._ended(case, cases[case])] == ["resnet50/torch"]
    assert not caps._ended("encoder/tensorrt", None)
    record.path.write_text(json.dumps({"device": "cpu", "cases": cases}))
    record.data["cases"] = {}
    caps.resumed(asked, record)
    assert record.data["cases"] == {}, "another device's figures"


def test_a_cap_that_is_off_and_taken_for_one_is_counted(load: Any) -> None:
    ways = {"above the card": "passed", "an unset variable": "failed", "of another user": "skipped"}
    (line, _) = load("plan_caps")._disarmed({"cases": {"disarmed": ways}})
    assert line.startswith("Of 2 caps that were silently off 1 were taken for caps")
    assert "above the card: refused, an unset variable: failed" in line
    assert load("plan_caps")._disarmed({"cases": {}}) == []


def test_the_sharing_page_has_every_row_with_its_interval(load: Any, tmp_path: Path) -> None:
    sharing, modes = load("sharing"), ("time_slicing", {"kind": "mps", "threads": 50})
    scenario = full(gpu=True, pairs=False, target=None, modes=modes)
    found = write_shared(tmp_path / "run", scenario)
    lines = sharing.page(sharing.record_of(found)).lines
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if " callers |" in line]
    assert [(r[0], r[1], r[2]) for r in rows if r[0] == "16 callers"] == [
        ("16 callers", "1", "dedicated"), ("16 callers", "2", "time-slicing"),
        ("16 callers", "2", "MPS, 50 % of threads each"), ("16 callers", "4", "time-slicing"),
        ("16 callers", "4", "MPS, 50 % of threads each"),
    ]  # fmt: skip
    assert all("[" in cell for r in rows for cell in r[3:9] if cell not in ("100", "1"))
    assert any("8 of 8 shares of throughput have a half-width of at most 5 %" in x for x in lines)


def test_shares_of_a_run_that_was_cut_have_intervals_that_hold_the_truth(load: Any) -> None:
    """Eight cells that scatter by 1 %, the first of which has one round only; rounds' own luck."""
    script, rng, held = load("sharing"), np.random.default_rng(4), 0
    for _ in range(300):
        luck = rng.normal(0, 0.2, 2)
        rows = [
            {"point": f"m/{cell}", "round": round_,
             "throughput": 100 * (1 + cell) * float(np.exp(luck[round_] + rng.normal(0, 0.01)))}
            for cell in range(8) for round_ in range(1 if cell == 0 else 2)
        ]  # fmt: skip
        share = script.pooled(rows, "m/3", "m/0")
        assert share.half_width < 0.1
        held += share.low <= 4 <= share.high
    assert 0.91 <= held / 300 <= 0.99
    once = [row for row in rows if row["round"] == 0]
    assert script.pooled(once, "m/3", "m/0") is None
    assert script.pooled(rows, "m/3", "m/9") is None


MACHINE = {
    "started": "2026-01-02T03:04:05+00:00", "device": "cuda", "packages": {}, "failures": {},
    "machine": {"gpus": [], "cpu": {"model": "EPYC", "usable": 4}, "os": "Linux", "python": "3.12"},
}  # fmt: skip


def test_a_triton_over_the_gpus_that_are_there(load: Any, tmp_path: Path) -> None:
    script = load("triton_gpus")
    assert [b["name"] for b in script.backends(2)] == ["gpus-1", "gpus-2"]
    assert [len(script.backends(n)) for n in (1, 3, 4)] == [1, 2, 3]
    found = script.found_in(run(tmp_path / "run", {1: {8: 200.0}, 2: {8: 380.0}}))
    text = "\n".join(script.page({**MACHINE, "cases": {"triton-gpus": found}}).lines)
    assert "| 2 | g2 | 8 | " in text and "Efficiency" in text
    assert "0.95" in text


def test_the_page_of_bounds_counts_what_was_named(load: Any) -> None:
    script = load("bounds")
    share = {"value": 0.2, "low": 0.1, "high": 0.3}
    cases = {
        f"{made}-threads-1": {
            "made": made, "way": "threads-1", "named": named, "cycle_ms": 8.0,
            "shares": dict.fromkeys(script.PARTS, share),
        } for made, named in (("h2d", "h2d"), ("d2h", ""), ("compute", "client"))
    }  # fmt: skip
    text = "\n".join(script.page({**MACHINE, "cases": cases}).lines)
    assert "named the part that was made the bound in 1 of 3 cases, another in 1.**" in text
    assert "| output copies | threads-1 | none | 8 | 20% [10%, 30%] |" in text


def test_the_page_of_the_gap_says_what_is_unexplained(load: Any) -> None:
    script = load("gap_resnet50")
    part = {"value": 1.0, "low": 0.9, "high": 1.1, "rounds": 3, "at_least": False}
    gaps = [
        {"served": f"triton-{n}", "concurrency": 1, "traced": 50, "in_process": part,
         "end_to_end": part, "parts": {"compute": part}, "unexplained_share": share, "rounds": [0]}
        for n, share in enumerate((0.04, -0.06))
    ]  # fmt: skip
    record = {**MACHINE, "cases": {"gap": {"gaps": gaps, "failures": []}}}
    text = "\n".join(script.page(record).lines)
    assert "at one caller: 1 of 2 ways to the model.**" in text
    assert "−6.0%" in text


def test_the_interference_page_has_each_held_out_pair(load: Any, tmp_path: Path) -> None:
    script = load("interference")
    run_ = write_shared(tmp_path / "run", shared(gpu=True, predict=True), spread=0.001, rounds=1)
    found = script._said(run_.data.path)
    text = "\n".join(script.page({**MACHINE, "modes": [found]}).lines)
    assert "| a | b | 1.1" in text
    assert "| **mean error** |" in text
    assert len(found["probed"]) == 2 * 2 * 5 + 25
    made = script.scenario("cuda", "mps")["sharing"]
    assert (len(made["tenants"]), made["modes"], made["predict"]) == (5, ["mps"], True)
    assert not script._whole(tmp_path / "none")
    assert script._whole(run_.data.path)


def test_replicas_take_what_was_found_with_its_resolution(load: Any, tmp_path: Path) -> None:
    script = load("replicas")
    found = _tried(1800, 1980, (1980, "holds"), (1700, "holds"), (1700, "holds"), ended=True)
    cases = {"context": {"plain": [1]}, "resnet50/torch": found, "resnet50/triton-1": found,
             "encoder/torch": _tried(1800, 1980, (1980, "holds"))}  # fmt: skip
    (tmp_path / "plan-caps.json").write_text(json.dumps({"cases": cases}))
    assert script.verified(tmp_path) == [("resnet50/torch", 1764)]


def test_the_page_of_replicas_counts_the_trials_that_were_right(load: Any) -> None:
    def seen(count: int, holds: bool) -> dict[str, Any]:
        failed = [] if holds else ["load: out of memory | here"]
        return {"count": count, "holds": holds, "failed": failed, "p99_ms": 31.0,
                "left_mib": [4400.0, 2700.0, 1300.0]}  # fmt: skip

    def of(*tries: Any) -> dict[str, Any]:
        return {"case": "resnet50/torch", "need_mib": 1740, "card_mib": 4400, "tries": tries}

    cases = {"0": of(seen(2, True), seen(3, False)), "1": of(seen(2, True), seen(3, True))}
    text = "\n".join(load("replicas").page({**MACHINE, "cases": cases}).lines)
    assert "In 1 of 2 trials (50 %) N held and N + 1 did not" in text
    assert (
        "| 2 hold, p99 31 ms | 3 do not, p99 31 ms | 1,700, 1,400 | load: out of memory / here |"
        in text
    )
    assert "No trial was made" in "\n".join(load("replicas").page({**MACHINE, "cases": {}}).lines)


def test_the_tutorials_table_has_each_backend_of_the_runs(load: Any, tmp_path: Path) -> None:
    backends = [
        Synthetic("torch-cuda-fp32", "torch", 2.0, 0.1),
        Synthetic("trt", "tensorrt", 1.0, 0.1),
    ]
    path = write_run(
        tmp_path / "run", backends=backends, batch_sizes=(1,), concurrency=(1,), failures=False
    )
    manifest = json.loads((path / MANIFEST).read_text())
    written = {**manifest, "machine": MACHINE["machine"], "command": ["harness", "run", "x.yaml"]}
    (path / MANIFEST).write_text(json.dumps(written))
    loads = [json.loads(line) for line in (path / JOURNAL).read_text().splitlines()]
    for row in loads:
        if row["event"] == LoadedRow.EVENT and row["backend"] == "trt":
            row["details"]["build_seconds"] = 4.25
    (path / JOURNAL).write_text("".join(json.dumps(row) + "\n" for row in loads))
    lines = load("tutorial_table").page([path], "Alone on the machine.").lines
    assert "Alone on the machine." in lines
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    assert [(r[0], r[6]) for r in rows] == [("`torch-cuda-fp32`", "–"), ("`trt`", "4.25")]
    assert "harness run x.yaml" in lines
    shown = {row.backend: row for row in summarize(read_run(path).measurements)}
    base, other = (shown[name].value("latency_p50_ms") for name in ("torch-cuda-fp32", "trt"))
    assert base is not None and other is not None
    assert rows[1][3] == f"{other.value / base.value:.2f}"
    assert rows[1][1].startswith(f"{other.value:.3f} [")


def test_a_value_that_is_a_lower_bound_says_so(load: Any) -> None:
    pages = load("pages")
    assert pages.measured(Interval(5.043, 3.443, None, 3, at_least=True)) == "≥ 5.043"
    assert pages.measured(Interval(5.043, 3.443, 6.1, 3)) == "5.043 [3.443, 6.100]"
