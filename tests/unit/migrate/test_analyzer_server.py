"""Launch modes, flags and Docker settings, in the scenario as it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.analyzed import drafts, scenario


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_local(here: Path) -> None:
    _, backend = scenario(here, """
        client_protocol: http
        triton_server_path: ./tritonserver
        triton_http_endpoint: localhost:9000
        triton_server_flags: {log_verbose: true, exit_timeout_secs: 120, http_port: 1}
        triton_server_environment: {LD_PRELOAD: a.so}
        gpus: [GPU-1, GPU-2]
        profile_models:
          net: {triton_server_flags: {log-verbose: 2}, triton_server_environment: {B: "1"}}
        """)  # fmt: skip
    server = backend.server
    assert (backend.protocol, server.repository) == ("http", str(here / "models"))
    assert (server.binary, server.http_port) == (str(here / "tritonserver"), 9000)
    assert server.args == ("--exit-timeout-secs=120", "--log-verbose=2")
    assert backend.env == {"LD_PRELOAD": "a.so", "B": "1", "CUDA_VISIBLE_DEVICES": "GPU-1,GPU-2"}


def test_docker(here: Path) -> None:
    _, backend = scenario(here, """
        triton_launch_mode: docker
        triton_docker_image: registry/triton:1
        triton_docker_mounts: ["/a:/b:ro", "/c:/d"]
        triton_docker_shm_size: 512m
        triton_docker_labels: {team: x}
        triton_docker_args: {mem_limit: 8g, cap_add: [SYS_NICE], network_mode: host, name: mine}
        gpus: GPU-1
        profile_models: net
        """)  # fmt: skip
    docker = backend.server.docker
    assert docker is not None
    assert (docker.image, docker.mounts) == ("registry/triton:1", ("/a:/b:ro", "/c:/d"))
    assert (docker.shm_size, docker.network) == (512 << 20, "host")
    assert docker.args == ("--label=team=x", "--memory=8g", "--cap-add=SYS_NICE")
    assert docker.gpus == '"device=GPU-1"'


def test_remote(here: Path) -> None:
    (draft,) = drafts(here, """
        triton_launch_mode: remote
        client_protocol: http
        triton_http_endpoint: http://host:80
        triton_grpc_endpoint: host:81
        triton_metrics_url: http://host:82/metrics
        reload_model_disable: true
        model_repository: models
        triton_server_flags: {a: 1}
        triton_server_environment: {A: 1}
        gpus: GPU-1
        profile_models: {net: {model_config_parameters: {max_batch_size: 1}}}
        """)  # fmt: skip
    assert draft.problems == []
    assert draft.get("backends.server") == {
        "url": "host:80", "load": False, "metrics_url": "http://host:82/metrics",
    }  # fmt: skip
    said = {o.option: o.status for o in draft.outcomes}
    assert said["triton_grpc_endpoint"] == said["model_repository"] == "not needed"
    assert said["triton_server_flags"] == said["triton_server_environment"] == "refused"
    assert said["gpus"] == said["profile_models.net.model_config_parameters"] == "refused"


def test_c_api_is_a_server_of_its_own(here: Path) -> None:
    _, backend = scenario(here, "triton_launch_mode: c_api\nprofile_models: net")
    assert backend.server.repository == str(here / "models")
