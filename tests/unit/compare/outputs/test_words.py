"""What is said of a comparison."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.compare.outputs import words
from harness.compare.result import Comparison, Verdict
from harness.compare.verdicts import Verdict as OfMetric


def test_headlines_and_why(slower: Comparison, same: Comparison, broken: Comparison) -> None:
    assert words.headline(slower) == "REGRESSION: slow against a"
    assert words.explanation(slower).startswith("b1/c1: throughput −9.")
    assert words.explanation(same) == (
        "Every metric lies within its tolerance (throughput 2 %, p50 2 %, p99 5 %) at 95 %."
    )
    assert words.explanation(broken).startswith("b1/c1, b1/c2: the candidate can't run it")


def test_what_is_still_needed(open_: Comparison) -> None:
    said = words.explanation(open_)
    assert "not decided yet" in said
    assert "It should be decided after 4 blocks, about 1.0 more minutes." in said
    (point,) = (p for p in open_.points if p.place == "b1/c1")
    unknown = replace(point, rows=(), reason="the run effect is not known")
    assert words.explanation(replace(open_, points=(unknown,))) == (
        "b1/c1: the run effect is not known."
    )


def test_a_verdict_is_followed_by_what_was_found_elsewhere(
    slower: Comparison, same: Comparison, open_: Comparison
) -> None:
    (worse, *_), (equal, *_), (unsure, *_) = slower.points, same.points, open_.points
    rows = [replace(r, judged=replace(r.judged, verdict=OfMetric.IMPROVEMENT)) for r in worse.rows]
    better = replace(worse, place="b8/c1", verdict=Verdict.IMPROVEMENT, rows=tuple(rows))
    changed = words.what_changed(better)
    equal = [replace(equal, place=f"b{n}/c1") for n in (16, 32, 64, 128, 256)]
    unsure = replace(unsure, place="b2/c1")

    found = replace(open_, points=(unsure, better, *equal))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert words.explanation(found).startswith(
        f"b2/c1: {unsure.reason}; improvement at b8/c1: {changed}; equivalent at b16/c1, b32/c1, "
        "b64/c1, 2 more. It should be decided after "
    )
    told = words.explanation(replace(found, points=(worse, unsure, better)))
    assert told.endswith(f"; inconclusive at b2/c1; improvement at b8/c1: {changed}.")
    said = words.explanation(replace(found, points=(better, *equal[:1])))
    assert said == f"b8/c1: {changed}; equivalent at b16/c1."
    invalid = replace(unsure, verdict=Verdict.INVALID, rows=(), reason="base: it broke")
    said = words.explanation(replace(found, points=(invalid, better)))
    assert said == f"b2/c1: base: it broke; improvement at b8/c1: {changed}."


def test_numbers() -> None:
    assert words.percent(0.0314) == "+3.1 %"
    assert words.percent(-0.0314) == "−3.1 %"
    assert words.percent(-0.0004) == words.percent(0.0004) == "0.0 %"
    assert words.percent(1522.89) == "+152,289.0 %"
    assert words.percent(math.inf) == "n/a"


def test_that_it_was_forced_is_among_the_notes(slower: Comparison) -> None:
    found = replace(slower, forced=("the machine differs: cpu",), left_out=("b1/c9",), drift="off")
    assert words.notes(found) == [
        "FORCED, not comparable: the machine differs: cpu", "outputs: off",
        "only on one side: b1/c9",
    ]  # fmt: skip
    assert words.headline(found) == f"{words.headline(slower)} (FORCED: not comparable)"
    assert ("onnxruntime", "absent", "1.23.2") in words.differing(slower)
    assert "off" in words.explanation(found)


def test_a_reason_of_several_points_is_said_once(broken: Comparison) -> None:
    assert words.explanation(broken).count("it refuses the engine") == 1
    assert words.notes(broken) == []
    clocks = [replace(p, reason="the clock differed") for p in broken.points]
    rest = replace(broken, points=(*broken.points, *(replace(p, place="x") for p in clocks[:1])))
    assert "the clock differed" in words.explanation(rest)


def test_packages_of_one_side_alone_are_last(slower: Comparison) -> None:
    changed = {"a": ("", "1"), "setting io": ("", "host"), "b": ("1", "2")}
    found = words.differing(replace(slower, changed=changed))
    assert [name for name, *_ in found] == ["setting io", "b", "a"]


def test_layers(layered: Comparison) -> None:
    assert layered.layers is not None
    assert words.layers_said(layered.layers) == (
        "Layers, profiled in 4 blocks of their own (102 → 192 µs a run): significant: con|v."
    )
    first, *_, rest = words.layer_rows(layered.layers)
    assert first == ("con|v", "Conv", "[[1]]", "51.5", "141.5", "+90.0", "[+90.0, +90.0]",
                     "slower, CPU → CUDA")  # fmt: skip
    assert rest[0] == "outside of all layers"
    still = replace(layered.layers.rest, change_us=-0.04, low_us=-3.0, high_us=0.01)
    shown = words.layer_rows(replace(layered.layers, rest=still))[-1]
    assert shown[5:7] == ("0.0", "[−3.0, 0.0]")
    assert len(first) == len(words.LAYER_TITLES)
