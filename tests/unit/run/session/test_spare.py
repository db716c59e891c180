"""A worker that is started ahead: a real process, taken once, or ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.run.session.spare import Spare
from harness.run.worker import messages


@pytest.fixture
def spare(tmp_path: Path) -> Iterator[Spare]:
    with Spare(tmp_path, tmp_path) as found:
        yield found


def test_it_is_taken_once_and_keeps_its_log_under_the_new_name(
    spare: Spare, tmp_path: Path
) -> None:
    assert spare.take(tmp_path / "none.log") is None
    spare.start()
    spare.start()
    spare.wait()
    (waiting,) = tmp_path.glob("*.log")
    worker = spare.take(tmp_path / "r1-t.log")
    assert worker is not None
    with worker:
        assert (worker.log, waiting.exists()) == (tmp_path / "r1-t.log", False)
        assert spare.take(tmp_path / "r2-t.log") is None
        answer = worker.ask(messages.UnloadBackend(), deadline=10.0)
        assert answer == messages.BackendUnloaded()
        spare.close()
        assert worker.alive
        worker.close()
    assert (tmp_path / "r1-t.log").exists()


def test_a_log_that_is_there_is_never_written_over(spare: Spare, tmp_path: Path) -> None:
    (tmp_path / "r1-t.log").write_text("what the first one said")
    spare.start()
    assert spare.take(tmp_path / "r1-t.log") is None
    worker = spare.take(tmp_path / "r2-t.log")
    assert worker is not None
    worker.kill()
    assert (tmp_path / "r1-t.log").read_text() == "what the first one said"


def test_one_that_dies_is_not_waited_for_and_the_next_is_another(
    spare: Spare, tmp_path: Path
) -> None:
    spare.start()
    assert spare._worker is not None
    first = spare._worker
    first.process.kill()
    spare.wait()
    assert spare.take(tmp_path / "r1-t.log") is None
    assert list(tmp_path.glob("*.log")) == []
    spare.start()
    spare.wait()
    second = spare.take(tmp_path / "r1-t.log")
    assert second is not None
    with second:
        assert second.pid != first.pid


def test_at_the_end_none_is_left(tmp_path: Path) -> None:
    with Spare(tmp_path, tmp_path) as found:
        found.start()
        assert found._worker is not None
        process = found._worker.process
    assert process.poll() is not None
    assert list(tmp_path.glob("*.log")) == []


def test_where_no_process_can_be_started_there_is_none(tmp_path: Path) -> None:
    with Spare(tmp_path / "no" / "folder", tmp_path) as found:
        found.start()
        found.wait()
        assert found.take(tmp_path / "r1-t.log") is None
