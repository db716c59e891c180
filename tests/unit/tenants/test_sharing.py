"""MPS with a stand-in for its daemon: who is a client is asked, not assumed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from harness.errors import LimitError
from harness.tenants.settings import Mode
from harness.tenants.sharing import THREADS, clients, shared

DAEMON = """#!/bin/sh
pipes="$CUDA_MPS_PIPE_DIRECTORY"
if [ "$1" = -f ]; then : >"$pipes/control"; exec sleep 60; fi
while read -r word rest; do case "$word" in
  get_server_list) echo 100;;
  get_client_list) cat "$pipes/clients" 2>/dev/null;;
  quit) echo quit >>"TOLD";;
esac; done
"""


@pytest.fixture
def daemon(tmp_path: Path) -> str:
    path = tmp_path / "mps"
    path.write_text(DAEMON.replace("TOLD", str(tmp_path / "told")))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_without_mps_nothing_is_put_before_a_tenant() -> None:
    with shared(Mode(kind="time_slicing"), 0, {}, tried=True) as found:
        assert (list(found.prefix), list(found.pids), found.daemon) == ([], [], None)
        found.check(4)


def test_tenants_that_the_daemon_does_not_know_are_a_failure(daemon: str, tmp_path: Path) -> None:
    mode = Mode(kind="mps", threads=50)
    with shared(mode, 0, {}, tried=False, daemon=daemon) as found:
        assert found.daemon is not None
        assert f"{THREADS}=50" in found.prefix
        pipes = Path(found.daemon.env["CUDA_MPS_PIPE_DIRECTORY"])
        (pipes / "clients").write_text("11\n12\n")
        assert clients(found.daemon) == {11, 12}
        found.check(2)
        with pytest.raises(LimitError, match="of 3 tenants 2 are clients of CUDA MPS"):
            found.check(3)
    assert (tmp_path / "told").read_text() == "quit\n"
    assert not pipes.exists()


def test_where_the_list_is_hidden_the_log_says_who_came(daemon: str) -> None:
    with shared(Mode(kind="mps"), 0, {}, tried=False, daemon=daemon) as found:
        assert found.daemon is not None
        log = Path(found.daemon.env["CUDA_MPS_LOG_DIRECTORY"], "control.log")
        line = "[2026-01-01 10:00:00.000 Control 9] NEW CLIENT {} from user 0: Server is ready\n"
        log.write_text("".join(line.format(n) for n in (21, 22, 22)))
        found.check(2)
        with pytest.raises(LimitError, match="the others run beside it"):
            found.check(3)
