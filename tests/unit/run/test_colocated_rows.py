"""What co-located models did in a window, cut out of samples that flowed before and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load.plan import asked
from harness.measure.validity import FLAGS, INVALIDATES
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.rows import MeasurementRow
from harness.results.samples import ERROR, OK, Samples, read_samples
from harness.run.colocated_rows import with_colocated
from harness.run.worker.worker import Worker
from harness.scenario.spec.scenario import ColocatedLoad, ColocatedModel

MS = 1_000_000
ANSWER: dict[str, Any] = {
    "messages": {}, "outputs_checked": 1, "outputs_wrong": [], "cpu_percent": 10.0,
}  # fmt: skip


def model(**load: Any) -> ColocatedModel:
    return ColocatedModel.model_validate({"name": "det", "load": load})


def steady(count: int = 400, service_ms: int = 5, status: int = OK) -> Samples:
    """One caller, back to back from t = 0."""
    sent = np.arange(count, dtype=np.int64) * service_ms * MS
    return Samples(
        sent, sent, sent + service_ms * MS, np.full(count, status, np.uint8),
        np.zeros(count, np.uint16),
    )  # fmt: skip


def measured(begin_ms: int, end_ms: int) -> MeasurementRow:
    return MeasurementRow(
        "t/b1/c1", 0, "t", "default", 1, 1, None, "", begin_ms * MS, end_ms * MS, 10, 0, 10.0, 1.0,
        {}, {}, samples="samples/t--b1--c1--r0.parquet", flags=("few_requests",),
        details={"findings": {"few_requests": "10"}},
    )  # fmt: skip


def kept(
    tmp_path: Path, samples: Samples, other: ColocatedModel, **answer: Any
) -> tuple[MeasurementRow, dict[str, Any]]:
    (tmp_path / "samples").mkdir()
    raw = tmp_path / "samples" / ".raw.npz"
    samples.save(raw)
    row = with_colocated(
        measured(500, 1500), [other], {"det": {**ANSWER, **answer}}, {"det": raw}, tmp_path
    )
    assert not raw.exists()
    return row, row.details["colocated"]["det"]


def test_only_the_points_window_counts(tmp_path: Path) -> None:
    samples = steady()
    row, facts = kept(tmp_path, samples, model(batch_size=2, concurrency=1))
    assert facts["requests"] == 200  # one each 5 ms of the second between 0.5 and 1.5 s
    assert facts["throughput"] == pytest.approx(400.0)
    assert facts["latency_ms"]["p50"] == 5.0
    assert facts["flags"] == ["few_requests"]
    assert row.flags == ("few_requests",)
    assert facts["samples"] == "samples/t--b1--c1--r0--colocated-det.parquet"
    assert len(read_samples(tmp_path / facts["samples"])) == len(samples)
    assert MeasurementRow.from_event(row.to_event()).details["colocated"]["det"]["requests"] == 200


@pytest.mark.parametrize(
    ("samples", "answer", "flag"),
    [
        (steady(status=ERROR), {}, "all_failed"),
        (steady(), {"cpu_percent": 95.0}, "client_busy"),
        (steady(), {"outputs_wrong": ["y: 3 of 4 values"]}, "wrong_outputs"),
    ],
)
def test_what_is_not_believable_makes_the_point_so(
    tmp_path: Path, samples: Samples, answer: dict[str, Any], flag: str
) -> None:
    row, facts = kept(tmp_path, samples, model(concurrency=1), **answer)
    assert flag in facts["flags"]
    assert row.flags == ("few_requests", "colocated_invalid")
    assert row.details["findings"]["colocated_invalid"].startswith(f"det: {flag}")
    assert row.details["findings"]["few_requests"] == "10"
    assert "colocated_invalid" in INVALIDATES & set(FLAGS)


def test_a_rate_that_was_not_sent_is_seen(tmp_path: Path) -> None:
    samples = steady()
    late = Samples(
        samples.scheduled, samples.sent + 50 * MS, samples.done + 50 * MS, samples.status,
        samples.caller,
    )  # fmt: skip
    row, facts = kept(tmp_path, late, model(request_rate=200))
    assert "client_late" in facts["flags"]
    assert facts["latency_ms"]["p50"] == 55.0  # from when it was due
    assert "client_late" in row.details["findings"]["colocated_invalid"]


def test_some_errors_inform_only(tmp_path: Path) -> None:
    samples = steady()
    samples.status[120] = ERROR
    row, facts = kept(tmp_path, samples, model(concurrency=1))
    assert (facts["errors"], row.flags) == (1, ("few_requests",))
    assert "errors" in facts["flags"]


def test_arrivals_are_drawn_apart() -> None:
    load = ColocatedLoad.model_validate({"request_rate": 20.0})
    seeds = {asked(load, 0, r, i, 60.0)["seed"] for r in range(3) for i in range(3)}
    assert len(seeds) == 9
    assert min(seeds) > 2**32 * 1000 + 1000  # beyond every seed of a measured model
    assert asked(load, 0, 0, 0, 60.0)["segments"] == [(20.0, 20.0, 60.0)]
    closed = ColocatedLoad.model_validate({"concurrency": 3})
    assert asked(closed, 0, 0, 0, 60.0) == {"concurrency": 3}


def test_a_worker_keeps_a_load_going_between_two_commands(tmp_path: Path) -> None:
    spec = TensorSpec("x", "float32", ("batch", 3))
    worker = Worker(lambda _: None)
    backend = {"kind": "fake", "name": "f", "service_time_ms": 0.1}
    prepared = PreparedModel("m", {"fake": {}}, "k", (spec,), ())
    worker.handle({"do": "load", "backend": backend, "first_batch": 1,
                   "context": {"model": prepared.to_json()}})  # fmt: skip
    command = {
        "do": "start", "load": {"concurrency": 2}, "batch_size": 1, "input_seed": 0,
        "distinct_inputs": 2, "request_timeout": 5.0,
    }  # fmt: skip
    stop = {"do": "stop", "samples": str(tmp_path / "s.npz")}
    for _ in range(2):
        assert worker.handle(command) == {"event": "started"}
        running = worker._running
        assert running is not None
        while running.generator.completed() < 10:
            pass
        answer = worker.handle(stop)
        assert (answer["event"], answer["messages"]) == ("stopped", {})
        assert len(Samples.load(tmp_path / "s.npz")) >= 10
    with pytest.raises(Exception, match="no load is running"):
        worker.handle(stop)
