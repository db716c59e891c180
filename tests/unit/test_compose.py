"""docker-compose.gpu.yml against the specification, and what its services take from each other."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from compose_spec import PyCompose
from ruamel.yaml import YAML
from support.paths import ROOT

from harness.cli.main import COMMANDS
from harness.scenario.reading.loader import load


@pytest.fixture
def compose() -> dict[str, Any]:
    """The file with its YAML merges resolved."""
    text = (ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8")
    plain: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(text)))
    return plain


def parse(compose: dict[str, Any]) -> PyCompose:
    """As Compose does: variables first, here all with their defaults."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", json.dumps(compose))
    return PyCompose.from_json(text)


def test_the_file_follows_the_specification(compose: dict[str, Any]) -> None:
    parsed = parse(compose)
    assert set(parsed.service_names()) == set(compose["services"])


@pytest.mark.parametrize(
    ("service", "key", "value", "words"),
    [
        ("tritonserver", "port", [], "port"),
        ("tritonserver", "ports", ["80000:1"], "80000|port"),
        ("measure", "shm_size", "much", "byte|much"),
        ("grafana", "restart", "maybe", "maybe"),
    ],
)
def test_the_parser_would_see_a_mistake(
    compose: dict[str, Any], service: str, key: str, value: Any, words: str
) -> None:
    compose["services"][service][key] = value
    with pytest.raises(ValueError, match=words):
        parse(compose)


def test_every_port_is_bound_to_loopback(compose: dict[str, Any]) -> None:
    ports = [p for s in compose["services"].values() for p in s.get("ports", [])]
    assert len(ports) == 6
    assert all(p.startswith("127.0.0.1:") for p in ports)


def test_images_have_versions(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert re.fullmatch(r"[\w./-]+:[\w.${}:-]*\d[\w.${}-]*", service["image"])


def test_dependencies_volumes_and_files_are_there(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in services.values():
        for name, how in dict.fromkeys(service.get("depends_on", {})).items():
            assert name in services, how
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if not source.startswith("./"):
                assert source in compose["volumes"]
            elif source != "./reports":
                assert (ROOT / source).exists()
    condition = services["measure"]["depends_on"]["tritonserver"]["condition"]
    assert condition == "service_healthy"
    assert "healthcheck" in services["tritonserver"]


def test_triton_loads_models_that_the_repository_has(compose: dict[str, Any]) -> None:
    command = compose["services"]["tritonserver"]["command"]
    loaded = [c.partition("=")[2] for c in command if c.startswith("--load-model=")]
    assert len(loaded) == 2
    for name in loaded:
        assert (ROOT / "model_repository" / name / "config.pbtxt").exists()


def test_the_harness_runs_scenarios_that_fit_the_compose_file(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name in ("prepare", "measure"):
        command = services[name]["command"]
        assert command[0] in COMMANDS
        scenario = load(ROOT / command[1]).scenario
        for backend in scenario.backends:
            url = getattr(getattr(backend, "server", None), "url", None)
            if url is not None:
                host, _, port = url.partition(":")
                assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]


def test_a_command_of_the_harness_starts_nothing_else(compose: dict[str, Any]) -> None:
    harness = compose["services"]["harness"]
    assert not {"depends_on", "ports", "command"} & harness.keys()
    assert harness["profiles"] == ["tools"]
    assert harness["image"] == compose["services"]["measure"]["image"]


def test_the_full_stacks_scenario_reads_the_servers_metrics() -> None:
    for backend in load(ROOT / "scenarios/triton-server.yaml").scenario.backends:
        assert getattr(backend, "server").metrics_url == "tritonserver:8002"  # noqa: B009


def test_prometheus_scrapes_ports_that_are_there(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker/prometheus/prometheus.yml").read_text(encoding="utf-8")
    jobs = YAML(typ="safe").load(text)["scrape_configs"]
    targets = [t for job in jobs for s in job["static_configs"] for t in s["targets"]]
    assert targets == ["tritonserver:8002", "measure:9108"]
    for target in targets:
        host, _, port = target.partition(":")
        assert f"127.0.0.1:{port}:{port}" in compose["services"][host]["ports"]


def test_the_image_has_the_tensorrt_of_the_servers_release(compose: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    release = re.search(r"^ARG RELEASE=(\S+)$", dockerfile, re.M)
    assert release is not None
    default = f"${{RELEASE:-{release[1]}}}"
    services = compose["services"]
    assert services["tritonserver"]["image"] == f"nvcr.io/nvidia/tritonserver:{default}-py3"
    assert services["prepare"]["build"]["args"] == {"RELEASE": default}
    assert "pycuda" in dockerfile
    for path in re.findall(r"^COPY (.+) \S+$", dockerfile, re.M):
        assert all((ROOT / name).exists() for name in path.split())
