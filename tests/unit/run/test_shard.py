"""Rounds dealt out to shards."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.run.shard import Shard, shard_of
from harness.scenario.spec.scenario import Scenario


@given(st.integers(1, 9), st.integers(0, 40), st.integers(0, 20))
def test_every_round_is_one_shards(count: int, planned: int, beyond: int) -> None:
    shards = [Shard(k, count) for k in range(count)]
    dealt = [r for shard in shards for r in shard.rounds(planned)]
    assert dealt == list(range(planned))
    sizes = [len(shard.rounds(planned)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    for round_ in range(planned + beyond):
        (owner,) = [shard for shard in shards if shard.has(round_, planned)]
        assert round_ >= planned or round_ in owner.rounds(planned)


def scenario(**more: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [{"kind": "onnxruntime"}], "load": {"concurrency": [1]},
        "measurement": {"rounds": 4, **more.pop("measurement", {})}, **more,
    })  # fmt: skip


SEARCHED = [{"kind": "triton", "protocol": "grpc", "serve": "onnxruntime", "instances": [1, 2]}]


@pytest.mark.parametrize(("more", "words"), [
    ({"backends": SEARCHED}, "a search decides from what was measured"),
    ({"measurement": {"budget": "1h"}}, "a budget decides from what was measured"),
    ({"measurement": {"rounds": 2}}, "2 rounds can't be shared out to 3"),
])  # fmt: skip
def test_what_can_not_be_shared_out_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Shard(0, 3).check(scenario(**more))
    Shard().check(scenario(**more))  # whole, it is a run as any
    Shard(0, 3).check(scenario())


def test_a_manifest_says_which_it_is() -> None:
    assert shard_of({}).whole
    assert shard_of({"shard": {"index": 2, "count": 4, "cpus": [0]}}) == Shard(2, 4)
    assert str(Shard(2, 4)) == "2/4"
