"""Counts as a trace: exact by interval, in order, readable after a kill, never over a file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from support.intervals import SOME, ZERO, counted, reading

from harness.errors import UsageError
from harness.load.schedule import read_trace
from harness.monitor.rates import between
from harness.monitor.record import Recorder


def test_each_interval_has_its_number_of_arrivals(tmp_path: Path) -> None:
    path = tmp_path / "trace.txt"
    rng = np.random.default_rng(7)
    counts = rng.integers(0, 60, 40)
    edges = 5.0 + np.concatenate([[0.0], np.cumsum(rng.uniform(0.2, 1.5, 40))])
    with Recorder(path, "a", "http://b:8000") as recorder:
        for begin, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
            failed = int(count) // 3
            recorder.add(counted(begin, end, int(count) - failed, failed))
    written = np.array([float(x) for x in path.read_text().splitlines() if x[0] != "#"])
    assert list(np.histogram(written, edges - 5.0)[0]) == list(counts)
    assert recorder.requests == counts.sum()
    replayed = read_trace(path) / 1e9
    assert replayed == pytest.approx(written - written[0], abs=1e-6)


def test_within_an_interval_arrivals_are_uniform(tmp_path: Path) -> None:
    """Chi-squared of ten bins at 1 in 10,000, on 5,000 arrivals drawn with the seed in use."""
    with Recorder(tmp_path / "t", "a", "s") as recorder:
        recorder.add(counted(0, 2, 5000))
    lines = (tmp_path / "t").read_text().splitlines()
    times = np.array([float(x) for x in lines if x[0] != "#"])
    bins = np.histogram(times, 10, (0, 2))[0]
    assert np.sum((bins - 500.0) ** 2 / 500.0) < 33.72


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    with Recorder(tmp_path / "t", "a", "grpc://b:8001") as recorder:
        recorder.add(counted(0, 1, 3, 2, batch=4))
        text = (tmp_path / "t").read_text()  # before it is closed: a kill loses nothing
    assert "'a' on grpc://b:8001" in text
    assert "times within it are drawn" in text
    assert "# 0.000 s to 1.000 s: 5 requests, 2 of them failed, 4.00 inferences a request" in text
    assert recorder.words.endswith("5 requests in 1.0 s; replay: load: {trace: t}")


def test_a_name_that_is_no_plain_yaml_can_be_replayed(tmp_path: Path) -> None:
    name = "mon, #1: {a}.trace"
    with Recorder(tmp_path / name, "a", "s") as recorder:
        recorder.add(counted(0, 1, 3))
        (hint,) = re.findall(r"^#   (load: .*)$", (tmp_path / name).read_text(), re.MULTILINE)
    assert recorder.words.endswith(f"replay: {hint}")
    assert YAML(typ="safe").load(hint) == {"load": {"trace": name}}


def test_what_is_not_known_has_no_arrivals_and_its_time(tmp_path: Path) -> None:
    with Recorder(tmp_path / "t", "a", "s") as recorder:
        recorder.add(counted(0, 1, 3))
        recorder.add(between(reading(1, a=SOME), reading(4, a=ZERO)))
        recorder.add(counted(4, 5, 2))
    times = read_trace(tmp_path / "t")
    assert len(times) == 5
    assert times[3] - times[2] >= 3e9
    assert "of which 3.0 s are not known" in recorder.words
    assert "1.000 s to 4.000 s: not known" in (tmp_path / "t").read_text()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("mine")
    with pytest.raises(UsageError, match="is there already"), Recorder(tmp_path / "t", "a", "s"):
        pass
    assert (tmp_path / "t").read_text() == "mine"
    with pytest.raises(UsageError, match="can't be written"), Recorder(tmp_path / "n/t", "a", "s"):
        pass
    with Recorder(tmp_path / "empty", "a", "s") as recorder:
        recorder.add(counted(0, 1, 0))
    assert "nothing that could be replayed" in recorder.words


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with Recorder(tmp_path / "t", "a", "s") as recorder:
        recorder._file.close()
        recorder._file = Path("/dev/full").open("w")  # noqa: SIM115
        with pytest.raises(UsageError, match="No space left"):
            recorder.add(counted(0, 1, 3))
