"""The search for the smallest that works, on trials whose truth is known; more of it in
benchmarks/plan_verify.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import LimitError
from harness.plan.proving import Trial, prove, resolution, sentence


def search(request, outcome):
    """`outcome` of a size and whether the trial is full."""
    return prove(
        "host_memory", request,
        lambda mib, full: Trial(mib, outcome(mib, full), f"seen at {mib}", full, how="a group"),
        per_process=False,
    )  # fmt: skip


def threshold(least):
    return lambda mib, _: "holds" if mib >= least else "fails"


@pytest.mark.parametrize("request_", [100, 2200, 40_000])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.73, 0.99, 1.0])
def test_the_smallest_is_found_to_the_resolution(request_, share):
    least = max(1, round(share * request_))
    proof = search(request_, threshold(least))
    assert proof.verified
    assert least <= proof.smallest.mib <= least + resolution(request_)
    if proof.smallest.mib < request_:
        assert [t.full for t in proof.trials if t.mib == proof.smallest.mib].count(True) >= 2
    assert proof.below is None or proof.below.mib < least


def test_a_request_that_fails_is_not_verified_and_nothing_smaller_is_tried():
    proof = search(500, threshold(501))
    assert not proof.verified
    assert len(proof.trials) == 1
    assert proof.smallest is None
    assert sentence(proof) == (
        "Not verified: under 500 MiB of host memory the point fails: seen at 500."
    )


def test_what_decides_nothing_is_tried_once_more_and_never_verified():
    proof = search(500, lambda *_: "undecided")
    assert [t.mib for t in proof.trials] == [500, 500]
    assert not proof.verified
    assert "the point decides nothing" in sentence(proof)


def test_a_second_try_that_holds_is_what_counts():
    tries = iter(["undecided", *["holds"] * 50])
    assert search(500, lambda *_: next(tries)).verified


def test_a_short_trial_that_held_by_chance_does_not_stand():
    """Full trials fail below 400: what the short ones found is gone up from."""
    proof = search(
        500, lambda mib, full: "holds" if mib >= (400 if full else 380) else "fails"
    )  # fmt: skip
    assert 400 <= proof.smallest.mib <= 400 + resolution(500)


def test_where_nothing_smaller_stands_the_request_is_the_smallest():
    proof = search(500, lambda mib, full: "holds" if mib == 500 or not full else "fails")
    assert proof.verified
    assert proof.smallest.mib == 500
    assert sentence(proof).endswith("holds seen at 500; nothing smaller stood.")


@pytest.mark.parametrize(("least", "most"), [(980, 4), (1000, 3), (900, 6), (500, 9)])
def test_the_search_begins_where_the_plan_takes_the_smallest_to_be(least, most):
    """`most` short trials; the halving of 1,100 would take six."""
    proof = prove(
        "gpu_memory", 1100,
        lambda mib, full: Trial(mib, threshold(least)(mib, full), "", full), per_process=True,
        guess=1000,
    )  # fmt: skip
    assert proof.predicted_mib == proof.trials[1].mib == 1000
    assert least <= proof.smallest.mib <= least + resolution(1100)
    assert len([t for t in proof.trials if not t.full]) <= most


def test_one_size_that_decides_nothing_does_not_end_the_way_down():
    proof = search(1000, lambda mib, _: "undecided" if mib == 500 else threshold(100)(mib, _))
    assert 100 <= proof.smallest.mib <= 120


def test_a_cap_that_cannot_be_shown_below_one_that_held_is_undecided_and_loses_nothing():
    def try_(mib, full):
        if mib < 300:
            raise LimitError("it can't be shown")
        return Trial(mib, "holds", f"seen at {mib}", full, how="a group")

    proof = prove("host_memory", 1000, try_, per_process=False)
    assert proof.verified
    assert 300 <= proof.smallest.mib <= 320
    assert "decides nothing: the cap was not shown to be in force (it can't be" in sentence(proof)


def test_a_cap_that_cannot_be_shown_at_the_request_proves_nothing():
    def try_(mib, full):
        raise LimitError("it is off")

    with pytest.raises(LimitError, match="it is off"):
        prove("host_memory", 1000, try_, per_process=False)


def test_a_partial_cap_verifies_nothing_whatever_holds_under_it():
    proof = prove(
        "gpu_memory", 1000,
        lambda mib, full: Trial(mib, threshold(300)(mib, full), f"seen at {mib}", full, how="half"),
        per_process=True, partial=True,
    )  # fmt: skip
    assert (proof.held, proof.verified) == (True, False)
    assert sentence(proof).startswith(
        "Not verified, as the cap is partial (half): 1,000 MiB of GPU"
    )
    assert "The smallest that works is 307 MiB" in sentence(proof)


def test_the_sentence_says_what_holds_and_what_does_not():
    assert sentence(search(1000, threshold(300))) == (
        "Verified under a group: 1,000 MiB of host memory holds seen at 1000. The smallest that "
        "works is 307 MiB (to 20 MiB); 297 MiB fails: seen at 297."
    )


@pytest.mark.parametrize(("width", "most"), [(0.0, 0.0), (0.01, 0.08)])
def test_what_is_called_the_smallest_works(width, most):
    """Of 400 searches, with a border as wide as `width`, a share of `most` would rather fail again.

    Where the border lies between two sizes that are tried is chance.
    """
    rng, wrong, off = np.random.default_rng(4), 0, []
    for _ in range(400):
        true = 1100 + rng.uniform(0, resolution(2200))

        def rounds(mib, true=true):
            return 1 / (1 + np.exp(-np.clip((mib - true) / (width * true or 1e-9), -50, 50)))

        def outcome(mib, full, rounds=rounds):
            return "holds" if (rng.random(3 if full else 1) < rounds(mib)).all() else "fails"

        least = search(2200, outcome).smallest.mib
        wrong += rounds(least) ** 3 < 0.5
        off.append(least - true)
    assert wrong / 400 <= most
    assert 0 <= np.median(off) <= 1.5 * resolution(2200)
