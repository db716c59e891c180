"""The sentence: names a winner only where there is one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_run import CPU_BACKENDS, write_all_failed, write_bare, write_run
from support.synthetic_variants import VARIANTS, Variant, write_variants

from harness.analysis.best import choose, order
from harness.analysis.constraints import Bounds, satisfies
from harness.analysis.objective import Objective, parse_objective
from harness.analysis.summary import SummaryRow
from harness.report.model.context import Context, build_context
from harness.report.model.labels import objective_text, place_text
from harness.report.sections.answer import answer
from harness.results.rows import MeasurementRow
from harness.results.store import read_run


def said(context: Context) -> str:
    return " ".join(map(str, answer(context)))


def test_winner_over_eager_with_interval(cpu: Context) -> None:
    text = said(cpu)
    assert text.startswith("In 68 measurements across 4 configurations, onnxruntime-cpu-fp32 is ")
    assert "better than torch-cpu-fp32 (eager PyTorch, batch 4, concurrency 4)" in text
    assert "at maximizing throughput, on CPU AMD EPYC 9B14" in text
    assert "given constraints" not in text
    assert "2 points failed or invalid" in text


def flagged(run: Path, points: dict[str, str]) -> Context:
    """The run with a flag in every round of some points."""
    data = read_run(run)
    events = [
        replace(e, flags=(points[e.point],))
        if isinstance(e, MeasurementRow) and e.point in points
        else e
        for e in data.events
    ]
    return build_context(replace(data, events=tuple(events)))


def test_what_is_left_out_is_named_with_the_reason(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", failures=False)
    b1, b4 = "torch-cpu-fp32/b1/c4", "torch-cpu-fp32/b4/c4"
    context = flagged(run, {b1: "no_steady_state", b4: "littles_law"})
    assert str(answer(context)[-1]) == (
        "Left out of the ranking: 2 points failed or invalid (torch-cpu-fp32, batch 1, concurrency "
        "4: drifted; torch-cpu-fp32, batch 4, concurrency 4: figures contradict each other)."
    )
    points = [r.point for r in context.rows if r.backend == "torch-cpu-fp32"]
    many = flagged(run, dict.fromkeys(points, "no_steady_state") | {b1: "littles_law"})
    count = len(points) - 1
    assert f"(drifted at {count}, figures contradict each other at 1)" in said(many)


def test_where_each_backend_must_hold_the_constraints_those_that_do_not_are_named(
    tmp_path: Path,
) -> None:
    data = read_run(write_run(tmp_path / "r", failures=False))
    highest = max(r.throughput.value for r in build_context(data).rows if r.throughput)
    bound = {"throughput": {"min": highest * 0.9}}

    def under(bound: dict[str, dict[str, float]], gate: str) -> str:
        scenario = {**data.scenario, "constraints": bound, "gate": gate}
        return said(build_context(replace(data, manifest={**data.manifest, "scenario": scenario})))

    words = "Each backend must hold the constraints (gate: each): they are not held by "
    text = under(bound, "each")
    assert words in text
    assert "torch-cpu-fp32" in text.partition(words)[2]
    assert "gate: each" not in under(bound, "any") + under({"throughput": {"min": 0.01}}, "each")


def test_the_default_is_not_compared_at_another_load_because_its_point_is_invalid(
    tmp_path: Path,
) -> None:
    run = write_variants(tmp_path / "r")
    whole = build_context(read_run(run))
    assert whole.choice.winner is not None
    place = place_text(whole.choice.winner)
    assert f"the default configuration ({place})" in said(whole)
    (point,) = (
        r.point for r in whole.rows if whole.name(r) == "default" and place_text(r) == place
    )
    text = said(flagged(run, {point: "no_steady_state"}))
    assert "than the default configuration" not in text
    assert "of the default configuration" not in text
    assert "the next best configuration" in text
    assert (
        f"No comparison with the default configuration: at {place} it failed or is invalid." in text
    )


def limited(context: Context, bounds: Bounds) -> Context:
    """The same run under other constraints."""
    choice = choose(context.rows, context.objective, bounds, run=context.differences)
    return replace(context, bounds=bounds, choice=choice)


def latency(row: SummaryRow) -> float:
    found = row.value("latency_mean_ms")
    assert found is not None
    return found.value


def test_the_factor_is_over_a_point_that_holds_the_constraints_too(variants: Context) -> None:
    free = limited(variants, {})
    default = [r for r in order(variants.rows, variants.objective) if variants.name(r) == "default"]
    fastest, second = default[0], min(default[1:], key=latency)
    assert f"the default configuration ({place_text(fastest)})" in said(free)
    limit = (latency(fastest) * max(latency(second), latency(fastest) / 4)) ** 0.5
    tight = limited(variants, {"latency_mean_ms": {"max": limit}})
    held = [r for r in tight.choice.candidates if tight.name(r) == "default"]
    assert held and fastest not in held
    text = said(tight)
    assert f"the default configuration ({place_text(held[0])})" in text
    assert f"the default configuration ({place_text(fastest)})" not in text


def test_a_default_that_holds_no_constraint_is_not_compared(variants: Context) -> None:
    least = min(latency(r) for r in variants.rows if variants.name(r) == "default")
    context = limited(variants, {"latency_mean_ms": {"max": 0.8 * least}})
    assert context.choice.recommended is not None
    text = said(context)
    assert "than the default configuration" not in text
    assert "of the default configuration" not in text
    assert "No comparison with the default configuration: none of its points can be ranked." in text
    assert "not shown to hold every constraint" in text


def test_the_others_better_point_that_may_hold_the_constraints_is_named(tmp_path: Path) -> None:
    context = build_context(read_run(write_run(tmp_path / "r", failures=False)))
    torch = sorted(
        (r for r in context.rows if r.backend == "torch-cpu-fp32" and r.throughput), key=latency
    )
    best = max(torch, key=lambda r: r.throughput.value if r.throughput else 0)
    tight = limited(context, {"latency_mean_ms": {"max": latency(best)}})
    assert satisfies(best, tight.bounds) == "unknown"
    pick = tight.choice.recommended
    assert pick is not None and place_text(pick) != place_text(best)
    text = said(tight)
    words = f"; its best point, {place_text(best)}, was left out: not shown to hold every constra"
    assert words in text


def test_the_others_best_point_that_is_invalid_is_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", failures=False)
    assert "was left out" not in said(build_context(read_run(run)))
    torch = "torch-cpu-fp32/b4/c4"
    best = [f"onnxruntime-cpu-fp32/b4/{load}" for load in ("c4", "c2")]  # so batch 1 is best
    text = said(flagged(run, dict.fromkeys([torch, *best], "no_steady_state")))
    assert (
        "torch-cpu-fp32 (eager PyTorch, batch 4, concurrency 2; its best point, batch 4, "
        "concurrency 4, was left out: drifted)" in text
    )


def test_gain_in_the_sentence_is_the_ratio_of_the_points(cpu: Context) -> None:
    values = {r.point: r.throughput.value for r in cpu.rows if r.throughput}
    assert cpu.choice.winner is not None
    ratio = values[cpu.choice.winner.point] / values["torch-cpu-fp32/b4/c4"]
    strong = [s.text for s in answer(cpu)[0].spans if s.strong]
    assert strong[0] == "onnxruntime-cpu-fp32"
    assert float(strong[1].partition("%")[0]) == pytest.approx(100 * (ratio - 1), abs=1)


def test_constraints_and_gpu_are_named(gpu: Context) -> None:
    text = said(gpu)
    assert "under the given constraints, on GPU(s) 1 × NVIDIA H100 80GB HBM3." in text
    assert "not shown to hold every constraint" in text


def test_tie_is_named_and_the_cheapest_recommended(tmp_path: Path) -> None:
    triton = CPU_BACKENDS[2:]  # HTTP and gRPC: as good as equal
    run = write_run(tmp_path / "r", backends=[CPU_BACKENDS[0], *triton], failures=False, noise=0.05)
    context = build_context(read_run(run))
    text = said(context)
    assert context.choice.winner is None
    assert "no single best can be named: " in text
    assert "can't be told apart by their 95% intervals" in text
    least = min(r.host_memory_mib or 0 for r in context.choice.close)
    assert context.choice.recommended is not None
    assert context.choice.recommended.host_memory_mib == least
    assert f"Recommended: {context.choice.recommended.backend}, " in text
    assert " is " not in answer(context)[0].spans[0].text


def test_one_round_names_no_best(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rounds=1, failures=False)
    text = said(build_context(read_run(run)))
    assert "no best can be named: a difference needs at least two rounds" in text
    assert "better" not in text


def test_all_failed_and_empty_runs(tmp_path: Path) -> None:
    failed = build_context(read_run(write_all_failed(tmp_path / "failed")))
    assert "no point can be ranked: 2 points left out (failed at 2)." in said(failed)
    bare = build_context(read_run(write_bare(tmp_path / "bare")))
    assert said(bare) == "Nothing was measured: the run ended before its first measurement."


def test_missed_constraint_is_named_with_the_nearest_point(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "r", failures=False,
        constraints={"throughput": {"min": 1e6}, "latency_p999_ms": {"max": 20.0}},
    )  # fmt: skip
    text = said(build_context(read_run(run)))
    assert "no point is shown to hold every constraint" in text
    assert "throughput ≥ 1e+06 infer/s: the nearest point has " in text
    assert "p99.9 latency ≤ 20 ms can't be judged, it is n/a at every point" in text


def test_only_one_configuration(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", backends=CPU_BACKENDS[:1], failures=False)
    text = said(build_context(read_run(run)))
    assert "torch-cpu-fp32 is the only configuration that can be ranked" in text


def test_what_only_the_value_misses_is_not_called_missed(tmp_path: Path) -> None:
    free = build_context(read_run(write_run(tmp_path / "free", failures=False, noise=0.1)))
    best = max((r.throughput for r in free.rows if r.throughput), key=lambda v: v.value)
    assert best.high is not None
    bound = {"throughput": {"min": (best.value + best.high) / 2}}
    text = said(build_context(read_run(
        write_run(tmp_path / "r", failures=False, noise=0.1, constraints=bound)
    )))  # fmt: skip
    assert "% by the value, not by its interval (" in text
    assert re.search(r"measurement\.rounds: \d+ would tell\)", text)


def test_what_one_round_cannot_show_is_said_to_hold_by_the_value(tmp_path: Path) -> None:
    bound = {"throughput": {"min": 0.1}}
    run = write_run(tmp_path / "r", failures=False, rounds=1, constraints=bound)
    text = said(context := build_context(read_run(run)))
    assert f"is held by the value, not by its interval, at {len(context.rows)} of " in text
    assert "the nearest point has" not in text


def test_a_constraint_that_only_a_gpu_could_tell_says_so(tmp_path: Path) -> None:
    bound = {"gpu_memory_mib": {"max": 2000.0}}
    text = said(build_context(read_run(write_run(tmp_path / "r", constraints=bound))))
    assert "GPU memory ≤ 2000 MiB can't be judged, it is n/a at every point, since no GPU" in text


@pytest.mark.parametrize("objective", ["joules_per_inference", "gpu_memory_mib"])
def test_an_objective_that_only_a_gpu_has_is_said_without_one(
    cpu: Context, gpu: Context, objective: str
) -> None:
    wanted = parse_objective(objective)
    (text, *_) = map(str, answer(aimed(cpu, wanted)))
    name = objective_text(wanted).removeprefix("minimizing ")
    assert "no point can be ranked: the objective is minimizing" in text
    assert f"and {name} is n/a at every point, since no GPU was measured." in text
    assert "no point can be ranked" not in said(aimed(gpu, wanted))


def test_the_value_of_the_energy_has_its_unit(gpu: Context) -> None:
    text = said(aimed(gpu, parse_objective("joules_per_inference")))
    assert "with an energy per inference of 0." in text
    assert " J." in text


def aimed(context: Context, objective: Objective) -> Context:
    chosen = choose(context.rows, objective, context.bounds)
    return replace(context, objective=objective, choice=chosen)


def test_sentence_compares_with_the_default(variants: Context) -> None:
    said = [str(s) for s in answer(variants)]
    best = max(VARIANTS, key=lambda v: v.speed)
    gain = 100 * (best.speed / VARIANTS[0].speed - 1)
    (fastest,) = (r for r in variants.rows if r.point.endswith("/b1/c16") and r.config == "default")
    assert satisfies(fastest, variants.bounds) != "yes"  # so the factor is over its next point
    assert said[0].startswith(
        f"In 54 measurements across 6 configurations, {best.name} is "
    ) or said[0].startswith(f"In 54 measurements across 6 configurations, {best.name} has ")
    why = "was left out: not shown to hold every constraint"
    place = f"batch 1, concurrency 4; its best point, batch 1, concurrency 16, {why}"
    assert f"the default configuration ({place})" in said[0]
    assert said[0].endswith(
        "at maximizing throughput, under the given constraints, on GPU(s) 1 × NVIDIA H100 80GB "
        "HBM3."
    )
    assert gain > 200  # so it is said in times, not in percent
    assert "times the throughput" in said[0]
    assert (
        f"{best.name}: 4 GPU instances with a max batch size of 8 on platform "
        "onnxruntime_onnx, dynamic batching enabled."
    ) in said[1]


def test_a_small_gain_is_in_percent(tmp_path: Path) -> None:
    two = (VARIANTS[0], Variant("dyn", dynamic=True))
    (first, *_) = answer(build_context(read_run(write_variants(tmp_path / "r", variants=two))))
    words = str(first).partition("dyn is ")[2]
    assert float(words.partition("%")[0]) == pytest.approx(30, abs=3)
    assert "% (" in words and " better than the default configuration" in words


def test_variants_that_are_equal_are_a_tie(tmp_path: Path) -> None:
    context = build_context(read_run(write_variants(tmp_path / "r", equal=True, noise=0.02)))
    said = " ".join(str(s) for s in answer(context))
    assert "no single best can be named" in said
    assert "can't be told apart by their 95% intervals" in said
    assert "Recommended: " in said


def test_wrong_outputs_are_red_in_the_first_paragraph_and_never_candidates(tmp_path: Path) -> None:
    """One round of one point of the backend that would win."""
    data = read_run(write_run(tmp_path / "r", failures=False))
    whole = build_context(data)
    assert whole.choice.best is not None
    assert not any(span.bad for span in answer(whole)[0].spans)
    backend = whole.choice.best.backend
    first = next(r for r in data.measurements if r.backend == backend and r.batch_size == 1)
    events = tuple(replace(e, flags=("wrong_outputs",)) if e is first else e for e in data.events)
    context = build_context(replace(data, events=events))
    assert all(r.backend != backend for r in context.choice.candidates)
    (red,) = (span.text for span in answer(context)[0].spans if span.bad)
    assert red.startswith(f"Wrong outputs: {backend} (batch 1). They are no candidates")
    assert f"better than {backend}" not in said(context)
