"""Sizes that are swept and mixed: labels, parts, and the cycle that a mix sends."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from harness.scenario import sizes
from harness.scenario.sizes import Part
from harness.scenario.spec.model import ModelSpec


def dynamic(**written):
    model = {"name": "m", "source": {"onnx": "m.onnx"}, "dynamic": written}
    return ModelSpec.model_validate(model).dynamic


MIX = [{"size": 32, "share": 7.0}, {"size": 128, "share": 2.0}, {"size": 512, "share": 1.0}]


def test_one_size_varies_nothing():
    found = dynamic(sequence=128, past=0)
    assert sizes.parts_of(found) == {"": (Part({}),)}
    assert sizes.every_size(found) == ({},)
    assert sizes.largest(found) == {"sequence": 128, "past": 0}


def test_lists_are_crossed_and_a_mix_is_one_label():
    found = dynamic(width=[8, 16], sequence=MIX, past=0)
    parts = sizes.parts_of(found)
    assert list(parts) == ["width=8,sequence=mix", "width=16,sequence=mix"]
    assert [p.sizes for p in parts["width=8,sequence=mix"]] == [
        {"width": 8, "sequence": n} for n in (32, 128, 512)
    ]
    assert [p.share for p in parts["width=8,sequence=mix"]] == pytest.approx([0.7, 0.2, 0.1])
    assert len(sizes.every_size(found)) == 6
    assert sizes.largest(found) == {"width": 16, "sequence": 512, "past": 0}


def test_two_mixes_are_drawn_apart():
    found = dynamic(a=MIX, b=[{"size": 1, "share": 1.0}, {"size": 2, "share": 3.0}])
    (parts,) = sizes.parts_of(found).values()
    assert math.fsum(p.share for p in parts) == pytest.approx(1.0)
    assert next(p.share for p in parts if p.sizes == {"a": 128, "b": 2}) == pytest.approx(0.15)


@pytest.mark.parametrize(
    "shares", [(0.7, 0.2, 0.1), (1 / 3, 2 / 3), (0.999, 0.001), (0.123, 0.877)]
)
def test_a_cycle_has_the_shares_as_near_as_whole_requests_come(shares):
    parts = [Part({"s": i}, share) for i, share in enumerate(shares)]
    kinds = sizes.cycle(parts, 8, seed=3)
    counts = Counter(part for part, _ in kinds)
    assert all(abs(counts[i] - share * len(kinds)) < 1 for i, share in enumerate(shares))
    assert min(counts.values()) >= 1
    for part, count in counts.items():  # the variants of a part take turns
        turns = Counter(variant for p, variant in kinds if p == part)
        assert max(turns.values()) - (min(turns.values()) if count >= 8 else 0) <= 1


def test_short_stretches_hold_the_shares_too_and_no_two_orders_are_the_same():
    parts = [Part({"s": i}, share) for i, share in enumerate((0.7, 0.2, 0.1))]
    kinds = sizes.cycle(parts, 8, seed=3)
    stretches = [tuple(p for p, _ in kinds[at : at + 10]) for at in range(0, len(kinds), 10)]
    assert {tuple(sorted(s)) for s in stretches} == {(0,) * 7 + (1, 1, 2)}
    assert len(set(stretches)) > 50
    assert kinds == sizes.cycle(parts, 8, seed=3) != sizes.cycle(parts, 8, seed=4)


def test_without_a_mix_the_variants_follow_one_another():
    assert sizes.cycle([Part({"s": 4})], 3, seed=9) == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(("labels", "expected"), [
    ([], ""), ([""], ""), (["s=32", "s=512", "s=128"], "s=512"), (["s=32", "s=mix"], "s=mix"),
    (["h=9,w=9", "h=64,w=1", "h=2,w=30"], "h=9,w=9"), (["w=8,s=mix", "w=16,s=mix"], "w=16,s=mix"),
])  # fmt: skip
def test_a_run_is_decided_at_the_mix_or_at_the_largest(labels, expected):
    assert sizes.decisive(labels) == expected


def test_what_a_request_holds():
    assert sizes.request_text(4, "") == "4" and sizes.request_id(4, "") == "b4"
    assert sizes.request_text(4, "s=8") == "4 · s=8" and sizes.request_id(4, "s=8") == "b4,s=8"


@pytest.mark.parametrize(("written", "message"), [
    ({"s": [32, 32]}, "dynamic.s.1: 32 is there twice"),
    ({"s": [{"size": 3, "share": 1.0}, {"size": 3, "share": 2.0}]}, "dynamic.s.1: 3 is there"),
    ({"s": []}, "at least 1 item"),
    ({"s": [{"size": 3, "share": 0}]}, "greater than 0"),
    ({"s": [{"size": 3, "share": 1.0}, 4]}, "SizeShare"),
    ({"past + 1": [1, 2]}, "sizes of 'past \\+ 1' can't vary: points are named after it"),
])  # fmt: skip
def test_sizes_that_can_not_be(written, message):
    with pytest.raises(ValueError, match=message):
        dynamic(**written)
