"""Whole runs under strace: no name is resolved and nothing outside this machine is called.

ONNX Runtime writes a device id when it is imported and calls half a minute later, so that a file in
its folder is the sign to look for in a short run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pandas as pd
import pytest
from support.paths import ROOT
from support.tiny_onnx import tiny_onnx

from harness.system.environment import QUIET

STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(STRACE is None, reason="no strace (apt-get install strace)")
ADDRESS = re.compile(r'htons\((\d+)\).*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
ONNX = """
scenario: quiet
model: {name: tiny, source: {onnx: tiny.onnx}}
backends:
  - {kind: onnxruntime, device: cpu}
  - {kind: triton, serve: onnxruntime, protocol: http, device: cpu}
load: {batch_sizes: [1], concurrency: [1]}
measurement: {profile: quick, rounds: 1, warmup: 100ms, window: 500ms, window_max: 1s}
"""
Watched = Callable[..., list[str]]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Runs Python to its end; every address outside this machine and every name server called."""

    def run(*arguments: str | Path, ok: tuple[int, ...] = (0,)) -> list[str]:
        # ONNX Runtime keeps quiet by itself where it finds CI
        env = {k: v for k, v in os.environ.items() if k not in (*QUIET, "CI")}
        env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        done = subprocess.run(
            [STRACE or "", "-f", "-qq", "--seccomp-bpf", "-e", "signal=none",
             "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", tmp_path / "trace",
             sys.executable, *arguments],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode in ok, done.stdout + done.stderr
        calls = ADDRESS.findall((tmp_path / "trace").read_text(errors="replace"))
        return [f"{a}:{p}" for p, a in calls if p == "53" or not ip_address(a).is_loopback]

    return run


@pytest.mark.parametrize("code", [
    "socket.getaddrinfo('phones-home.invalid', 80)",
    "socket.create_connection(('192.0.2.1', 443), 0.1)",
    "socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', ('192.0.2.1', 9))",
    "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'hello', ('2001:db8::1', 9))",
])  # fmt: skip
def test_a_child_that_calls_out_would_be_seen(watched: Watched, code: str) -> None:
    child = f"import socket, contextlib\nwith contextlib.suppress(OSError): {code}"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    assert watched("-c", parent) != []


def test_a_runtime_that_is_not_told_leaves_its_sign(watched: Watched, tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "tiny.onnx")
    watched("-c", f"import onnxruntime as o; o.InferenceSession({str(model)!r})")
    assert [p.name for p in tmp_path.glob("cache/Microsoft/**/deviceid")] == ["deviceid"]


@pytest.mark.slow
def test_a_run_of_the_fake_backend_calls_nobody(watched: Watched, tmp_path: Path) -> None:
    outside = watched("-m", "harness", "run", "scenarios/fake.yaml", "-o", tmp_path / "run",
                      ok=(0, 4))  # fmt: skip
    assert outside == []


@pytest.mark.triton
def test_a_run_of_onnx_runtime_here_and_in_triton_calls_nobody(
    watched: Watched, tmp_path: Path
) -> None:
    tiny_onnx(tmp_path / "tiny.onnx")
    (tmp_path / "quiet.yaml").write_text(textwrap.dedent(ONNX))
    outside = watched("-m", "harness", "run", tmp_path / "quiet.yaml", "-o", tmp_path / "run",
                      ok=(0, 4))  # fmt: skip
    assert outside == []
    rows = pd.read_csv(tmp_path / "run/summary.csv")
    assert list(rows["errors"]) == [0, 0] and (rows["throughput"] > 0).all()
    assert list(tmp_path.glob("cache/Microsoft*")) == []
