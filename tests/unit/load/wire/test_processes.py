import tempfile
from collections import Counter

import numpy as np
import pytest
from support.null_load import http_post
from support.small_disk import mounted

from harness.errors import HarnessError, ServerError, SetupError
from harness.load.null.server import running
from harness.load.wire.plan import Plan
from harness.load.wire.processes import WireProcesses, _told, merge
from harness.results.samples import OK, SHED, Samples
from harness.system.faults import known


def part(done, caller, status=OK):
    done = np.array(done, np.int64)
    rows = len(done)
    return Samples(
        done - 3, done - 2, done, np.full(rows, status, np.uint8), np.array(caller, np.uint16),
        which=np.array(done // 10, np.uint16),
    )  # fmt: skip


def test_nothing_is_lost_and_callers_stay_apart():
    first, second = part([10, 30], [0, 1]), part([20, 40, 5], [1, 0, 0], SHED)
    merged = merge([(first, 2), (second, 2)], Counter(bad=2))
    assert merged.done.tolist() == [5, 10, 20, 30, 40]
    assert merged.caller.tolist() == [2, 0, 3, 1, 2]
    assert merged.status.tolist() == [SHED, OK, SHED, OK, SHED]
    assert (merged.done - merged.sent == 2).all() and (merged.sent - merged.scheduled == 1).all()
    assert merged.messages == {"bad": 2}
    assert merged.which.tolist() == [0, 1, 2, 3, 4]


def plan(address="127.0.0.1:1"):
    return Plan("http", address, (http_post(address, 10),), 2, 0.5)


def test_no_room_for_the_live_counts_is_an_error_and_no_signal(tmp_path, monkeypatch):
    """Writing to a mapped hole of a full disk ends a process with SIGBUS."""
    with mounted(tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        disk.fill()
        with pytest.raises(OSError, match="No space left") as full:
            WireProcesses(plan(), 2)
        assert known(full.value).message.endswith("live can't be written (0.0 MB are free there)")


def test_what_ends_a_helper_is_told_where_no_file_can_be_written(tmp_path, monkeypatch):
    with mounted(tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.path))
        with running("http", 10) as address:
            generator = WireProcesses(plan(address), 2)
            generator.start()
            disk.fill()
            with pytest.raises(SetupError, match=r"No space left .*/\d\.(npz|rest) can't"):
                generator.stop(5.0)


def test_a_server_that_is_not_there_is_what_the_helper_says():
    with pytest.raises(HarnessError, match="refused"):
        WireProcesses(plan(), 2).start()


@pytest.mark.parametrize("line", [b"hello", b"7", b'{"reason": "server"}', b"[1]"])
def test_a_line_that_is_no_words_of_ours_is_none(line):
    assert _told(line) is None


def test_a_line_of_a_helper_is_its_error():
    told = _told(b'{"reason": "server", "message": "it is gone", "fix": "start it"}')
    assert isinstance(told, ServerError) and told.message == "it is gone"
