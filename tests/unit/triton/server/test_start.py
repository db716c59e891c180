"""What a scenario's server runs; containers are in test_docker.py."""

from pathlib import Path

import pytest

from harness.errors import ServerError
from harness.triton.client.settings import TritonSettings
from harness.triton.server.start import what_runs


def triton(**server):
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime", "server": server,
    })  # fmt: skip


def test_a_binary_that_is_not_there_is_named_with_the_scenarios_folder(tmp_path):
    with pytest.raises(ServerError, match=f"no tritonserver at {tmp_path / 'opt/tritonserver'}"):
        what_runs(triton(binary="opt/tritonserver"), tmp_path)


def test_a_binary_of_the_users_with_its_backends(tmp_path):
    binary = tmp_path / "opt" / "bin" / "tritonserver"
    binary.parent.mkdir(parents=True)
    binary.symlink_to("/bin/true")
    backends = tmp_path / "mine"
    spec = triton(binary="opt/bin/tritonserver", backend_directory="mine")
    with pytest.raises(ServerError, match="no directory of Triton's backends"):
        what_runs(spec, tmp_path)
    backends.mkdir()
    found = what_runs(spec, tmp_path)
    assert found.binary == Path("/bin/true").resolve() and found.backends == backends
