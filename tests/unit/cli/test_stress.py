"""`harness stress`: its options. A real run is in tests/integration/test_stress.py."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.stress import loaded

from harness.cli.main import main


def code_of(*args: str) -> int:
    with pytest.raises(SystemExit) as info:
        main(["stress", *args])
    return int(info.value.code or 0)


def test_a_worker_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(loaded(tmp_path).path)
    assert code_of(path, "--worker", "127.0.0.1:5557", "-o", "x") == 2
    assert "--worker goes with neither" in capsys.readouterr().err


def test_a_scenario_without_the_section(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = loaded(tmp_path)
    plain = tmp_path / "plain.yaml"
    plain.write_text(found.text.partition("stress:")[0], encoding="utf-8")
    assert code_of(str(plain), "-o", str(tmp_path / "run")) == 2
    assert "has no `stress`" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_gevent_stays_in_the_processes_that_make_the_load(tmp_path: Path) -> None:
    """It would make greenlets of the threads that read memory and metrics and do the faults."""
    code = ("import sys; from harness.cli.main import main\n"
            "try:\n    main(sys.argv[1:])\n"
            "finally:\n    print({'gevent', 'locust'} & {*sys.modules})")  # fmt: skip
    command = ["stress", str(loaded(tmp_path).path), "--set", "stress=null"]
    done = subprocess.run([sys.executable, "-c", code, *command], text=True, capture_output=True,
                          check=False)  # fmt: skip
    assert "has no `stress`" in done.stderr, "it was there, and is not imported"
    assert done.stdout == "set()\n"


def test_a_port_for_prometheus_that_is_taken_is_said_before_a_directory_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        path = str(loaded(tmp_path).path)
        assert code_of(path, "-o", str(tmp_path / "run"), "--metrics-port", port) == 2
    assert f"can't listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
