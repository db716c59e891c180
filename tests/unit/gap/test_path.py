"""Client and server moments of requests whose parts are known, laid over each other."""

from __future__ import annotations

import numpy as np
import pytest

from harness.gap.path import match, request_path
from harness.results.details import CLIENT, TRACED
from harness.results.samples import ERROR, OK, Int64, Samples

US = 1_000
TRUTH = {
    "late": 3, "sending": 20, "wire_out": 40, "receive": 11, "parse": 30, "queue": 200,
    "input": 15, "infer": 900, "output": 25, "answer": 35, "wire_in": 60, "receiving": 8,
}  # fmt: skip
ORDER = ("late", "sending", *TRACED, "receiving")


def requests(count: int, seed: int = 0, callers: int = 1, **extra_us: int) -> tuple[Samples, Int64]:
    """Requests one after another of each of `callers`, their parts around `TRUTH`, and traces."""
    rng = np.random.default_rng(seed)
    means = np.array([TRUTH[name] + extra_us.get(name, 0) for name in ORDER], float)
    parts = (rng.gamma(20, means / 20, (count, len(ORDER))) * US).astype(np.int64)
    lasts = parts.sum(axis=1)
    begin = np.concatenate([
        np.cumsum([c * 300 * US, *lasts[c::callers][:-1]]) for c in range(callers)
    ])  # fmt: skip
    parts = np.concatenate([parts[c::callers] for c in range(callers)])
    moments = begin[:, None] + np.cumsum(np.c_[np.zeros(count, np.int64), parts], axis=1)
    moments = moments[np.argsort(moments[:, -1])]
    scheduled, sent, written, *server, woke, done = moments.T
    samples = Samples(
        scheduled, sent, done, np.full(count, OK, np.uint8), np.zeros(count, np.uint16), {},
        written, woke,
    )  # fmt: skip
    arrived, received, queued, computing, copied, computed, responded, answered = server
    rows = (arrived, received, queued, computing, copied, computed, responded,
            responded + 5, answered)  # fmt: skip
    return samples, np.array(rows).T


def span(samples: Samples) -> tuple[int, int]:
    return 0, int(samples.done[-1])


@pytest.mark.parametrize("callers", [1, 8])
def test_each_part_is_what_it_was_and_they_add_up_to_the_latency(callers: int) -> None:
    samples, rows = requests(800, callers=callers)
    found = request_path(samples, *span(samples), rows[::7].tolist(), open_loop=False)
    assert found["traced"] == len(rows[::7])
    parts = [*CLIENT, *TRACED]
    assert sum(found[p] for p in parts) == pytest.approx(found["latency"], rel=0.01)
    if callers == 1:
        assert {p: found[p] for p in parts} == pytest.approx(TRUTH, rel=0.08)


@pytest.mark.parametrize("part", ["sending", "wire_out", "queue", "infer", "output", "wire_in"])
def test_what_is_added_is_booked_where_it_was_added(part: str) -> None:
    (samples, rows), (slower, more) = requests(600), requests(600, **{part: 2000})
    before = request_path(samples, *span(samples), rows.tolist(), open_loop=False)
    after = request_path(slower, *span(slower), more.tolist(), open_loop=False)
    grown = {name: after[name] - before[name] for name in TRUTH}
    assert grown.pop(part) == pytest.approx(2000, rel=0.05)
    assert max(map(abs, grown.values())) < 1, grown


def test_a_trace_belongs_to_the_request_that_holds_it() -> None:
    samples, rows = requests(300, callers=4)
    mine, which = match(rows, samples.sent, samples.done)
    assert len(set(which.tolist())) == len(which) == 300
    assert (samples.sent[which] <= rows[mine, 1]).all()
    assert (samples.done[which] >= rows[mine, -2]).all()
    foreign = rows + 10**12
    assert not match(foreign, samples.sent, samples.done)[0].size


def test_a_client_that_returns_late_from_its_write_holds_nobody_up() -> None:
    samples, rows = requests(200)
    assert samples.written is not None
    late = Samples(
        samples.scheduled, samples.sent, samples.done, samples.status, samples.caller, {},
        rows[:, 2].copy(), samples.woke,
    )  # fmt: skip
    found = request_path(late, *span(late), rows.tolist(), open_loop=False)
    assert found["wire_out"] == 0
    both = found["sending"], TRUTH["sending"] + TRUTH["wire_out"] + TRUTH["receive"]
    assert both[0] == pytest.approx(both[1], rel=0.1)


def test_without_the_wire_client_its_work_is_on_the_wire() -> None:
    whole, rows = requests(400)
    samples = Samples(whole.scheduled, whole.sent, whole.done, whole.status, whole.caller)
    assert request_path(samples, *span(samples), [], open_loop=False) == {}
    found = request_path(samples, *span(samples), rows.tolist(), open_loop=False)
    assert not {"sending", "receiving"} & set(found)
    out = TRUTH["sending"] + TRUTH["wire_out"]
    assert found["wire_out"] == pytest.approx(out, rel=0.05)
    assert found["wire_in"] == pytest.approx(TRUTH["wire_in"] + TRUTH["receiving"], rel=0.05)


def test_without_a_request_that_succeeded_nothing_is_known() -> None:
    samples, rows = requests(20)
    failed = Samples(
        samples.scheduled, samples.sent, samples.done, np.full(20, ERROR, np.uint8),
        samples.caller, {}, samples.written, samples.woke,
    )  # fmt: skip
    assert request_path(failed, *span(failed), rows.tolist(), open_loop=False) == {}
