"""What a session's limits do: in force once, tried, and named where they ended a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.errors import HarnessError, LimitError, OutOfMemoryError, WorkerDiedError
from harness.run.limited import Limited
from harness.scenario.spec.scenario import Scenario


def backend(**limits):
    found = Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"fake": {}}},
        "backends": ({"kind": "fake", "service_time_ms": 1.0, "limits": limits},),
        "load": {"concurrency": (1,)},
    })  # fmt: skip
    return found.backends[0]


@pytest.fixture
def limited():
    with Limited() as found:
        found.enforce(backend(host_memory="100MiB"), 0, {})
        if not found.limits[0].whole_tree:
            pytest.skip("no control group can be made here (root, or a delegated one)")
        yield found


def take(limited, mib):
    code = f"held = bytearray({mib} << 20)"
    return subprocess.run([*limited.prefix, sys.executable, "-c", code], check=False).returncode


def test_without_a_limit_nothing_is_done():
    with Limited() as none:
        none.enforce(backend(), 0, {})
        assert (none.prefix, none.seen) == ([], {})
        with none.watched():
            pass


def test_what_is_in_force_is_recorded_with_what_the_control_saw(limited):
    assert limited.seen["host_memory"]["mib"] == 100
    assert limited.seen["host_memory"]["control"] == "a process that asked for 164 MiB was killed"


def test_it_is_put_in_force_once(limited):
    before = limited.limits
    limited.enforce(backend(host_memory="200MiB"), 0, {})
    assert limited.limits == before


def test_a_process_that_it_ended_is_why_even_where_no_error_came(limited):
    with limited.watched():
        assert take(limited, 20) == 0
    with pytest.raises(OutOfMemoryError, match="a process was ended at the limit of 100 MiB"):  # noqa: SIM117
        with limited.watched():
            assert take(limited, 200) == -9


def test_it_explains_the_error_that_followed(limited):
    with pytest.raises(OutOfMemoryError, match=r"limit of 100 MiB .*; the worker was killed"):  # noqa: SIM117
        with limited.watched():
            take(limited, 200)
            raise WorkerDiedError("the worker was killed")


def test_another_error_stays_what_it_is(limited):
    with pytest.raises(HarnessError, match="something else"), limited.watched():
        raise HarnessError("something else")


def test_a_limit_that_cannot_be_had_is_an_error_of_the_session(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("harness.system.limits.host.new_group", lambda *_: None)
    with Limited() as found, pytest.raises(LimitError):
        found.enforce(backend(host_memory="100MiB"), 0, {})
