"""Page 1 answers the six questions, in every format, and says what it does not know."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.paths import H200, LANES, SAMPLE
from support.synthetic_run import Synthetic, write_all_failed, write_run
from support.synthetic_variants import write_variants

from harness.analysis.best import choose
from harness.analysis.metrics import CONFIRMATION
from harness.report.model.context import Context, build_context
from harness.report.model.decision import decide
from harness.report.sections.answer import answer
from harness.report.sections.configurations import section
from harness.report.sections.first_page import backends_table, needs, subject, verdict
from harness.results.store import read_run


def said(context: Context) -> dict[str, str]:
    entries = verdict(context, decide(context)).entries
    return {title: " ".join(map(str, lines)) for title, lines in entries}


@pytest.fixture(scope="module")
def h200() -> Context:
    return build_context(read_run(H200))


def test_the_run_of_one_h200_answers_the_six_questions(h200: Context) -> None:
    page = said(h200)
    take = page["TAKE"]
    assert take.startswith("tensorrt-fp16, in process · batch 64 · 4 callers")
    assert "GPU memory 1,830 MiB → ask for 2,048 MiB" in take
    assert "3.91 CPU cores" in take
    assert re.search(r"1\.97× \(1\.89–2\.05\) that of eager PyTorch at the same precision", take)
    below = next(x for x in page["LIMIT → CHOICE"].split("p95 below ") if x.startswith("5 ms"))
    assert below.startswith("5 ms: tensorrt-fp16, batch 64 · 1 caller")


def test_the_run_of_one_h200_says_what_the_last_percent_costs(h200: Context) -> None:
    take = said(h200)["TAKE"]
    assert "batch 64 · 16 callers is better by 3.8% (not shown to be more than noise)" in take
    assert "5.6× the tail latency, 2.9× the GPU memory and 3.7× the CPU cores" in take
    assert "5.34" not in take


def test_the_sample_says_what_to_take_beyond_which_limit_and_what_is_left_out() -> None:
    sample = build_context(read_run(SAMPLE))
    page = said(sample)
    assert page["TAKE"].startswith("tensorrt-fp16, in process · batch 64 · 4 callers")
    assert "GPU memory 1,804 MiB → ask for 2,048 MiB" in page["TAKE"]
    assert "Not shown to be better than tensorrt-fp16-graphs: more rounds may" in page["TAKE"]
    first, *_, last = page["LIMIT → CHOICE"].split("p99 below ")[1:]
    assert first.startswith("1 ms: tensorrt-fp16-graphs, batch 1 · 4 callers")
    assert last.startswith("5 ms: tensorrt-fp16-graphs, batch 8 · 4 callers")
    assert "15 of 16 CPU cores left" in page["THIS CARD"]
    assert (
        "“- {kind: triton, serve: tensorrt, device: cuda, precision: fp16, instances: [1, 2]}”"
        in page["THIS CARD"]
    )
    assert "batch 64 · 4 callers, the load to take of it)" in page["TAKE"]  # 16 callers are faster
    assert "a longer measurement.window_max lets them be judged" in page["LIMIT → CHOICE"]
    assert "Wrong outputs" not in page["BEWARE"]
    assert "Left out: 3 points (warm-up was not over at 2, drifted at 1)" in page["BEWARE"]
    assert subject(sample).startswith("resnet50 on 1 × NVIDIA H200 · 2026-11-30")


def test_a_run_in_lanes_says_what_one_lane_has_and_what_decided_a_tie() -> None:
    run = build_context(read_run(LANES))
    page = said(run)
    assert page["TAKE"].startswith("tensorrt-fp16-graphs, in process · batch 64 · 4 callers")
    tied = "Not shown to be better than tensorrt-fp16: taken for its lower p99 latency; more rounds"
    assert tied in page["TAKE"]
    assert "15 of a lane's 16 CPU cores left" in page["THIS CARD"]
    assert "Left out: 5 points (drifted at 4, warm-up was not over at 1)" in page["BEWARE"]
    assert subject(run).startswith(
        "resnet50 on 2 × NVIDIA H200 (each measurement on one) · 2026-11-30"
    )


def test_wrong_outputs_and_what_rows_stand_for(h200: Context) -> None:
    beware = said(h200)["BEWARE"]
    assert beware.startswith("Wrong outputs: tensorrt-tf32 (batch 1)")
    assert "TensorRT-RTX" in beware and "loopback" in beware
    assert "Left out: 15 points" in beware and "Unknown at the recommended point: p99" in beware
    (left,) = re.findall(r"Left out: 15 points \((.*?)\)", beware)
    assert sum(map(int, re.findall(r"at (\d+)", left))) == 15
    assert f"15 points failed or invalid ({left})" in str(answer(h200)[-1])  # said once, one way


def test_the_card_the_cost_and_the_table(h200: Context) -> None:
    page = said(h200)
    assert "one replica leaves 141,941 of 143,771 MiB" in page["THIS CARD"]
    assert "instances: [1, 2]" in page["THIS CARD"]
    assert "49.7 GPU-seconds, 8.70 Wh" in page["COST"] and "price_per_gpu_hour" in page["COST"]
    table = backends_table(h200, decide(h200))
    assert table.rows[0][0].text == "tensorrt-fp16"
    assert table.rows[0][3].text == "20,100 (19,500–20,800)"
    assert "tensorrt-tf32" not in [row[0].text for row in table.rows]
    assert subject(h200).startswith("resnet50 on 1 × NVIDIA H200 · 2026-11-23")


def test_a_rival_that_holds_no_constraint_has_no_factor(h200: Context) -> None:
    torch = [r for r in h200.rows if h200.spec(r.backend)["kind"] == "torch" and r.throughput]
    least = max(r.throughput.value for r in torch if r.throughput)
    bounds = {"throughput": {"min": 1.1 * least}}
    choice = choose(h200.rows, h200.objective, bounds, run=h200.differences)
    take = said(replace(h200, bounds=bounds, choice=choice))["TAKE"]
    assert "none of its points is shown to hold the constraints" in take
    assert "× (" not in take.partition("Not the last percent")[0]


def test_instances_that_were_measured_are_not_called_unmeasured(variants: Context) -> None:
    card = said(variants)["THIS CARD"]
    assert "Measured were 1, 2 and 4 instances on one card." in card
    assert "was not measured" not in card


def test_without_a_gpu_it_speaks_of_the_machine(cpu: Context) -> None:
    page = said(cpu)
    assert "THIS MACHINE" in page and "THIS CARD" not in page
    assert "GPU" not in page["TAKE"] and "machine-seconds" in page["COST"]


def test_the_cores_that_are_left_are_those_of_a_lane_where_it_ran_in_lanes(h200: Context) -> None:
    for cores, more, left in (
        (8, {}, " of 8 CPU cores left"), (1, {"lanes": [{}]}, " of a lane's 1 CPU core left"),
    ):  # fmt: skip
        machine = {**h200.manifest["machine"], "cpu": {"usable": cores}}
        changed = {**h200.manifest, "machine": machine, **more}
        page = said(replace(h200, data=replace(h200.data, manifest=changed)))
        assert left in page["THIS CARD"]


def test_all_failed_has_nothing_to_take(tmp_path: Path) -> None:
    page = said(build_context(read_run(write_all_failed(tmp_path / "r"))))
    assert page["TAKE"] == (
        "Nothing can be recommended: no point could be ranked. "
        "Why: see “What failed and what was flagged”."
    )
    assert "failed at" in page["BEWARE"] and "COST" not in page


def test_one_round_says_that_no_difference_is_shown(tmp_path: Path) -> None:
    page = said(build_context(read_run(write_run(tmp_path / "r", rounds=1, failures=False))))
    assert "that no other is better is not shown" in page["TAKE"]


def test_nobody_knows_the_precision_of_a_model_that_is_on_the_server(tmp_path: Path) -> None:
    two = [Synthetic("http", "triton", 6, 23, protocol="http"),
           Synthetic("grpc", "triton", 5, 23, protocol="grpc")]  # fmt: skip
    run = write_run(tmp_path / "r", backends=two, failures=False)
    manifest = json.loads((run / "manifest.json").read_text())
    for spec in manifest["scenario"]["backends"]:
        spec["serve"] = None
    (run / "manifest.json").write_text(json.dumps(manifest))
    context = build_context(read_run(run))
    take = said(context)["TAKE"]
    assert take.startswith("grpc, served by Triton · batch")
    assert "that of the reference (http, batch" in take
    assert "fp32" not in take and "precision" not in str(section(context))


def test_a_tie_with_another_configuration_is_said_where_one_is_recommended(tmp_path: Path) -> None:
    alike = [Synthetic(name, "onnxruntime", 6, 23) for name in ("ort-a", "ort-b")]
    slow = Synthetic("ort-slow", "onnxruntime", 60, 230)
    run = write_run(tmp_path / "r", backends=[*alike, slow], failures=False, noise=0.05)
    context = build_context(read_run(run))
    found = decide(context)
    assert found.take is not None and found.decided
    other = ({"ort-a", "ort-b"} - {found.take.backend}).pop()
    assert f"Not shown to be better than {other}: " in said(context)["TAKE"]
    shares = {row[0].text: row[-1].text for row in backends_table(context, found).rows}
    assert shares[found.take.backend] == "1"
    assert shares[other].startswith("? ") and not shares["ort-slow"].startswith("?")


def test_one_that_is_shown_to_be_best_is_not_called_tied(h200: Context) -> None:
    assert "Not shown to be better" not in said(h200)["TAKE"]


def test_figures_of_the_rounds_that_confirmed_a_choice_are_told_from_the_rest(
    h200: Context,
) -> None:
    take = decide(h200).take
    assert take is not None
    confirmed = replace(take, confirmation=take.measurements[:3])
    assert "by 3 rounds after the choice" in needs(confirmed, "p95")
    assert not any("after the choice" in text for text in needs(take, "p95"))


def test_figures_of_the_rounds_that_chose_among_configs_are_said_to_be_so(
    h200: Context, tmp_path: Path
) -> None:
    """A budget may end a search before it confirms what it chose, whose figures are luck too."""
    data = read_run(write_variants(tmp_path / "run"))
    context = build_context(data)
    take = decide(context).take
    assert take is not None and decide(context).decided
    assert "Not confirmed: " in said(context)["BEWARE"]
    first = max(m.round for m in data.measurements) + 1
    after = [
        replace(m, round=first + n, details={**m.details, "stage": CONFIRMATION})
        for n, m in enumerate(take.measurements[:3])
    ]
    confirmed = build_context(replace(data, events=(*data.events, *after)))
    assert "Not confirmed" not in said(confirmed)["BEWARE"]
    assert "Not confirmed" not in said(h200)["BEWARE"]  # no search chose there
