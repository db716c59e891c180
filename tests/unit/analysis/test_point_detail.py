from dataclasses import replace

import numpy as np
import pytest
from support import simulated_queue
from support.simulated_queue import samples_of

from harness.analysis.point_detail import BINS, detail, explain, histogram, slip, timeline
from harness.analysis.summary import summarize
from harness.results.samples import ERROR, OK, SHED, write_samples
from harness.scenario.points import Point

MS = 1_000_000
OPEN = Point("fake", "default", 1, request_rate=150.0)
CLOSED = Point("fake", "default", 1, concurrency=1)


def measured(point=OPEN, round_=0):
    return simulated_queue.measure(point, round_, 4.0, 10.0, seed=round_)


def test_timeline_places_requests_and_marks_the_window():
    scheduled = np.arange(1200, dtype=np.int64) * MS
    latency = np.where(np.arange(1200) < 600, 2 * MS, 6 * MS)
    latency[700] = 90 * MS
    status = np.full(1200, OK)
    status[100] = ERROR
    samples = samples_of(scheduled, scheduled + latency, status=status)
    found = timeline(samples, 300 * MS, 1199 * MS, open_loop=True)
    assert found.seconds.shape == (BINS,)
    assert found.window_s == pytest.approx(0.899)
    assert found.seconds[0] == pytest.approx(-0.295, abs=0.002)
    assert set(found.p50_ms[found.seconds < 0.29]) == {2.0}
    assert set(found.p50_ms[found.seconds > 0.31]) == {6.0}
    assert found.worst_ms.max() == 90.0
    assert found.failed.sum() == 1
    assert found.failed[10] == 1


def test_timeline_of_a_stretch_without_success_is_nan():
    scheduled = np.array([0, 500 * MS, 1000 * MS])
    samples = samples_of(scheduled, scheduled + MS, status=np.array([OK, ERROR, OK]))
    found = timeline(samples, 0, 1000 * MS, open_loop=True)
    assert np.isfinite(found.p50_ms).sum() == 2


def test_slip_and_service_leave_out_what_was_not_sent():
    scheduled = np.arange(100, dtype=np.int64) * 10 * MS
    sent = scheduled + np.arange(100) * MS // 10
    status = np.full(100, OK)
    status[50:] = SHED
    samples = samples_of(scheduled, sent + 3 * MS, sent=sent, status=status)
    found = slip(samples, np.ones(100, bool))
    assert (found.p50_ms, found.p99_ms, found.worst_ms) == (2.4, 4.9, 4.9)
    assert (found.service_p50_ms, found.service_p99_ms) == (3.0, 3.0)
    assert slip(samples, np.zeros(100, bool)) is None


def test_detail_agrees_with_the_row():
    row, samples = measured()
    found = detail(row, samples)
    assert len(found.latency_ms) + found.failed == row.requests
    assert found.latency_ms.mean() == pytest.approx(row.latency_mean_ms)
    x, share = found.share_below()
    assert x[-1] == found.latency_ms[-1]
    assert share[-1] == pytest.approx(1 - found.failed / row.requests)
    assert (np.diff(x) >= 0).all()
    assert (np.diff(share) > 0).all()
    assert x[np.searchsorted(share, 0.99)] >= row.latency_ms["p99"]
    assert found.slip.worst_ms == 0.0  # the simulated generator is never late
    assert detail(*measured(CLOSED)).slip is None


def test_histogram_counts_every_success_once():
    rounds = [detail(*measured(round_=r)) for r in range(2)]
    edges, counts = histogram(rounds, 12)
    assert counts.sum() == sum(len(r.latency_ms) for r in rounds)
    assert np.allclose(edges[1:] / edges[:-1], (edges[-1] / edges[0]) ** (1 / 12))
    assert histogram([], 12)[1].size == 0
    constant = [detail(*measured(CLOSED))]
    assert histogram(constant, 5)[1].sum() == len(constant[0].latency_ms)


def test_explain_reads_the_samples_and_bears_with_missing_ones(tmp_path):
    rows = []
    for number, name in enumerate(["good", "gone", "bad", ""]):
        row, samples = measured(round_=number)
        rows.append(replace(row, samples=f"samples/{name}.parquet" if name else ""))
        if name == "good":
            write_samples(tmp_path / rows[-1].samples, samples, {})
    (tmp_path / "samples" / "bad.parquet").write_bytes(b"PAR1 cut short")
    (summary,) = summarize(rows)
    found = explain(summary, tmp_path)
    assert [r.timeline is not None for r in found.rounds] == [True, False, False, False]
    assert found.rounds[0].latency_ms.size
    assert found.open_loop


@pytest.mark.parametrize("name", ["../mine.parquet", "ABSOLUTE", "link.parquet"])
def test_samples_outside_of_the_run_are_not_read(tmp_path, name):
    row, samples = measured()
    mine, run = tmp_path / "mine.parquet", tmp_path / "run"
    run.mkdir()
    write_samples(mine, samples, {})
    (run / "link.parquet").symlink_to(mine)
    (summary,) = summarize([replace(row, samples=name.replace("ABSOLUTE", str(mine)))])
    assert explain(summary, run).rounds[0].timeline is None


def test_the_cut_of_mser_is_where_the_transient_ends_after_the_window_has_begun():
    done = 5_000 * MS + np.arange(1, 1001, dtype=np.int64) * 10 * MS
    slow = np.where(np.arange(1000) < 200, 50.0, 5.0) + np.arange(1000) % 3  # slow for 2 s
    samples = samples_of(done - (slow * MS).astype(np.int64), done)
    row = replace(measured(CLOSED)[0], window_begin_ns=5_000 * MS, window_end_ns=15_000 * MS)
    found = detail(row, samples)
    assert found.steady.truncation == 200
    assert found.cut_s == pytest.approx(2.0)


def test_nothing_is_cut_where_there_is_no_transient_and_nothing_said_of_few_requests():
    done = np.arange(1, 1001, dtype=np.int64) * 10 * MS
    row = replace(measured(CLOSED)[0], window_begin_ns=0, window_end_ns=10_000 * MS)
    assert detail(row, samples_of(done - 5 * MS, done)).cut_s == 0.0
    assert detail(row, samples_of(done[:50] - 5 * MS, done[:50])).cut_s is None


def test_the_window_that_p99_would_need_is_said(tmp_path):
    """10 s at 150 requests/s have about 13 slow stretches: two rounds have too few."""
    rows = [measured(round_=n)[0] for n in range(2)]
    found = explain(summarize(rows)[0], tmp_path)
    assert "few_tail_episodes" in found.summary.flags
    assert found.few_episodes.startswith("p99 rests on about ")
    seconds = int(found.few_episodes.rsplit(" ", 1)[1].removesuffix("s"))
    assert 12 <= seconds <= 60
    bare = replace(rows[0], details={k: v for k, v in rows[0].details.items() if k == "findings"})
    old = explain(summarize([bare])[0], tmp_path)
    assert (old.few_episodes, old.summary.flags) == ("", bare.flags)
