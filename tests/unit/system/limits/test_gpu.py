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
if [ "$1" = -f ]; then echo "$$" >"$CUDA_MPS_PIPE_DIRECTORY/control"; exec sleep 60; fi
cat >>"$CUDA_MPS_LOG_DIRECTORY/../../told"
"""


def test_without_mps_it_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LimitError, match="there is no nvidia-cuda-mps-control"), gpu_memory(9, 0):
        pass


def test_a_daemon_that_ends_at_once_is_said():
    with pytest.raises(LimitError, match="did not start"), gpu_memory(9, 0, "false"):
        pass


def test_the_daemon_is_its_own_and_is_told_to_quit(tmp_path, monkeypatch):
    """The program is a stand-in: what is checked is who is started where, and told what."""
    daemon = tmp_path / "mps"
    daemon.write_text(DAEMON)
    daemon.chmod(daemon.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(gpu.tempfile, "tempdir", str(tmp_path))
    with gpu_memory(2048, 1, str(daemon)) as limit:
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
