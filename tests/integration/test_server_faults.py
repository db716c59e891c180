"""What happens to Triton in a run, provoked for real: recorded, and gone on from."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.tiny_onnx import tiny_onnx

from harness import api
from harness.results.events import Discarded, Event, Note, PointStarted, Progress
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run

pytestmark = pytest.mark.triton

TRITON = """
scenario: triton-faults
model:
  name: small
  source: {{onnx: tiny.onnx}}
backends:
  - {{kind: triton, protocol: http, serve: onnxruntime{server}}}
load: {{batch_sizes: [1, 2], concurrency: [1, 2]}}
measurement: {{profile: quick, rounds: 1, warmup: 50ms, warmup_requests: 2, window: {window},
              window_requests: 11, window_max: 10s, request_timeout: 5s}}
"""


Strike = Callable[[psutil.Process], None]
Struck = tuple[RunData, list[str], list[psutil.Process]]


@pytest.fixture
def struck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, type[Event], int, Strike], Struck]:
    """Runs the scenario in this process, and strikes its server at so many events of a sort while
    the run waits: what it then has, the points that were begun last, and the servers.
    """
    tiny_onnx(tmp_path / "tiny.onnx")
    monkeypatch.chdir(tmp_path)

    def run(window: str, at: type[Event], most: int, strike: Strike) -> Struck:
        begun, victims, servers = "", list[str](), list[psutil.Process]()

        def heard(event: Event) -> None:
            nonlocal begun
            begun = event.point if isinstance(event, PointStarted) else begun
            if isinstance(event, at) and len(victims) < most:
                below = psutil.Process().children(recursive=True)
                (server,) = (p for p in below if "tritonserver" in p.name())
                strike(server)
                victims.append(begun)
                servers.append(server)

        (tmp_path / "s.yaml").write_text(TRITON.format(window=window, server=""))
        api.run("s.yaml", output="run", progress=heard)
        return read_run(tmp_path / "run"), victims, servers

    return run


def kill(server: psutil.Process) -> None:
    server.kill()
    server.wait(20)


def test_a_killed_server_is_recorded_and_started_again(struck) -> None:
    run, victims, _ = struck("2s", Progress, 1, psutil.Process.kill)
    assert [(f.point, f.reason) for f in run.failures] == [(victims[0], "server_died")]
    assert "SIGKILL" in run.failures[0].message
    assert len(run.measurements) == 3
    assert run.complete


def test_a_stopped_server_is_recorded_and_another_is_started(struck) -> None:
    run, victims, (server,) = struck("2s", Progress, 1, psutil.Process.suspend)
    assert [(f.point, f.reason) for f in run.failures] == [(victims[0], "server_died")]
    assert "the Triton server was stopped by a signal such as SIGSTOP" in run.failures[0].message
    assert len(run.measurements) == 3
    assert not psutil.pid_exists(server.pid)


def test_a_server_that_ends_when_a_point_was_measured_costs_nothing_and_is_noted(struck) -> None:
    run, _, _ = struck("100ms", MeasurementRow, 4, kill)
    assert not run.failures and len(run.measurements) == 4
    notes = [note.text for note in run.rows(Note) if "its server or worker was gone" in note.text]
    assert len(notes) == 4 and all("logs/r0-triton-http" in text for text in notes)


def test_a_server_that_ends_whenever_it_was_opened_fails_each_point_once(struck) -> None:
    """It crashes when a client goes, for one."""
    run, victims, _ = struck("100ms", Discarded, 5, kill)
    assert [f.point for f in run.failures] == victims and len(set(victims)) == 4
    assert all(f.reason == "server_died" and "SIGKILL" in f.message for f in run.failures)
    assert run.complete and not run.measurements


def test_a_port_in_use_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_onnx(tmp_path / "tiny.onnx")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = TRITON.format(window="100ms", server=f", server: {{http_port: {port}}}")
        (tmp_path / "s.yaml").write_text(text)
        run = api.run("s.yaml", output="run")
    assert {f.reason for f in run.failures} == {"port_in_use"}
    assert len({f.point for f in run.failures}) == 4
    assert f"port {port}" in run.failures[0].message
    assert run.exit_code == 3


@pytest.mark.slow
def test_kill_9_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_onnx(tmp_path / "tiny.onnx")
    text = TRITON.format(window="9s", server=", client_processes: 2")
    (tmp_path / "s.yaml").write_text(text)
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    for sort in ("tmp*", "wire-*"):  # the built-in server's answer, and the wire helpers'
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", "run", "s.yaml", "--output", "run", "--no-report"],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + 120
        while not any(place.glob(f"*/{sort}")):
            assert process.poll() is None and time.monotonic() < end, sort
            time.sleep(0.005)
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while any(place.glob("harness-*")) or any(of(p, place) for p in psutil.process_iter()):
            assert time.monotonic() < end, (sort, [*place.rglob("*")])
            time.sleep(0.1)
        assert not any(place.iterdir())
        shutil.rmtree(tmp_path / "run")


def of(process: psutil.Process, temporary: Path) -> bool:
    """Whether a process has its temporary files there."""
    try:
        return process.environ().get("TMPDIR", "").startswith(str(temporary))
    except psutil.Error:
        return False
