"""CUDA MPS: what is said without it; with a GPU, tests/gpu/test_limits.py."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from harness.errors import LimitError
from harness.system.limits import gpu
from harness.system.limits.gpu import gpu_memory

DAEMON = """#!/bin/sh
if [ "$1" = -f ]; then
  echo "noise"; cd "$CUDA_MPS_LOG_DIRECTORY"; env >env; echo "server ready" >server.log
  echo "$$" >"$CUDA_MPS_PIPE_DIRECTORY/control"; exec sleep 60
fi
cat >>"$CUDA_MPS_LOG_DIRECTORY/../../told"
"""


def test_without_mps_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LimitError, match="there is no nvidia-cuda-mps-control"), gpu_memory(9, 0):
        pass


def test_a_daemon_that_ends_at_once_is_said():
    with pytest.raises(LimitError, match="did not start"), gpu_memory(9, 0, "false"):
        pass


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """The program is a stand-in: what is checked is who is started where, and told what."""
    path = tmp_path / "mps"
    path.write_text(DAEMON)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gpu.tempfile, "tempdir", str(tmp_path))
    return str(path)


def test_the_daemon_hears_nothing_of_another_daemons(daemon, monkeypatch):
    monkeypatch.setattr(gpu, "cards", lambda: {"CUDA_VISIBLE_DEVICES": "GPU-b"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "10")
    with gpu_memory(2048, 0, daemon) as limit:
        env = dict(word.split("=", 1) for word in limit.prefix[1:])
        lines = Path(env["CUDA_MPS_LOG_DIRECTORY"], "env").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert found["CUDA_VISIBLE_DEVICES"] == env["CUDA_VISIBLE_DEVICES"] == "GPU-b"
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in found


def test_what_the_daemon_wrote_is_quoted_and_not_printed(daemon, capfd):
    with gpu_memory(2048, 0, daemon) as limit:
        assert limit.said() == "; MPS wrote: noise | server ready"
    assert capfd.readouterr().out == ""


def test_the_daemon_is_its_own_and_is_told_to_quit(tmp_path, daemon):
    with gpu_memory(2048, 1, daemon) as limit:
        env = dict(word.split("=", 1) for word in limit.prefix[1:])
        pipes = Path(env["CUDA_MPS_PIPE_DIRECTORY"])
        pid = int((pipes / "control").read_text())
        os.kill(pid, 0)
        assert env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "1=2048M"
        assert (limit.mib, limit.device, limit.whole_tree) == (2048, 1, False)
    assert (tmp_path / "told").read_text() == "quit -t 10\n"
    assert not pipes.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_cards_are_named_by_what_daemon_and_client_read_alike(monkeypatch):
    """By number the client's would be counted among those that the daemon was given."""
    monkeypatch.setattr(gpu, "probe_gpus", lambda: ([{"uuid": "GPU-b"}, {"uuid": "GPU-a"}], None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert gpu.cards() == {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpu.cards() == {}
