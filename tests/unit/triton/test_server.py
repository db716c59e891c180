import os
import sys
from pathlib import Path

import pytest

from harness.errors import ServerError
from harness.triton.install import TritonInstall
from harness.triton.server import TritonServer, environment


@pytest.fixture
def installed(tmp_path):
    backends = tmp_path / "backends"
    stub = backends / "python" / "triton_python_backend_stub"
    stub.parent.mkdir(parents=True)
    stub.symlink_to("/bin/true")
    return TritonInstall(tmp_path, Path("/bin/true"), backends, "0.7.0")


def test_the_stub_finds_this_python_first(installed, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    env = environment(installed, {})
    assert env["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert env["LD_LIBRARY_PATH"].split(":")[0] == str(installed.libraries)
    assert (Path(env["PYTHONPATH"].split(":")[0]) / "harness" / "__init__.py").is_file()


def test_extra_variables_are_added_and_pythonpath_is_joined(installed):
    env = environment(installed, {"CUDA_VISIBLE_DEVICES": "1", "PYTHONPATH": "/mine"})
    assert env["CUDA_VISIBLE_DEVICES"] == "1"
    assert env["PYTHONPATH"].split(":")[-1] == "/mine"
    assert env["HOME"] == os.environ["HOME"]


@pytest.mark.parametrize("argument", ["--http-address=0.0.0.0", "--grpc-address"])
def test_addresses_are_not_for_the_user(installed, tmp_path, argument):
    with pytest.raises(ServerError, match=r"listens on 127\.0\.0\.1 only"):
        TritonServer.start(installed, tmp_path, log=tmp_path / "log", args=[argument])
    assert not (tmp_path / "log").exists()


def test_a_server_that_ends_at_once(installed, tmp_path):
    with pytest.raises(ServerError, match="ended with exit code 0; its log says nothing"):
        TritonServer.start(installed, tmp_path, log=tmp_path / "log", timeout=10)
