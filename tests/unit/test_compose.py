"""docker-compose.gpu.yml against the specification, and what its services take from each other."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyCompose
from ruamel.yaml import YAML
from support.paths import ROOT

from harness.cli.main import COMMANDS
from harness.scenario.reading.loader import load

DIGEST = "@sha256:[0-9a-f]{64}"
COMPOSE = (ROOT / "docker-compose.gpu.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
BASES = re.findall(r"^ARG \w+_BASE=(\S+)$", DOCKERFILE, re.M)


@pytest.fixture
def compose() -> dict[str, Any]:
    """The file with its YAML merges resolved."""
    plain: dict[str, Any] = json.loads(json.dumps(YAML(typ="safe").load(COMPOSE)))
    return plain


def parse(compose: dict[str, Any]) -> PyCompose:
    """As Compose does: variables first, here all with their defaults."""
    return PyCompose.from_json(resolved(json.dumps(compose)))


def resolved(text: str) -> str:
    """With each variable's default; the innermost first."""
    while (found := re.sub(r"\$\{\w+:-([^${}]*)\}", r"\1", text)) != text:
        text = found
    return text


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
        assert re.fullmatch(rf"[\w./-]+(:[\w.-]*\d[\w.-]*|{DIGEST})", resolved(service["image"]))


def test_images_of_docker_hub_are_given_by_digest(compose: dict[str, Any]) -> None:
    """NVIDIA's go by release until `make pin-images`; the harness's own is built here."""
    images = {*BASES, *(resolved(s["image"]) for s in compose["services"].values())}
    unpinned = {image for image in images if not re.search(f"{DIGEST}$", image)}
    assert len(images) - len(unpinned) == 3
    assert {image.rpartition(":")[0] for image in unpinned} == {
        "inference-harness", "nvcr.io/nvidia/tensorrt", "nvcr.io/nvidia/tritonserver",
    }  # fmt: skip


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


def test_the_full_stacks_scenario_reads_the_servers_metrics_memory_and_gpu(
    compose: dict[str, Any],
) -> None:
    for backend in load(ROOT / "scenarios/triton-server.yaml").scenario.backends:
        server = getattr(backend, "server")  # noqa: B009
        assert server.metrics_url == "tritonserver:8002"
        host, _, port = server.telemetry.url.partition(":")
        assert str(server.telemetry.token) == "${TELEMETRY_TOKEN}"
        service = compose["services"][host]
        assert service["pid"] == "service:tritonserver"  # else it sees no process of the server's
        assert service["command"][:2] == ["telemetry", "serve"]
        assert port == "9110"
        assert service["environment"] == {"TELEMETRY_TOKEN": "${TELEMETRY_TOKEN:-}"}
        assert "telemetry" in compose["services"]["measure"]["depends_on"]


def test_prometheus_scrapes_ports_that_are_there(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker/prometheus/prometheus.yml").read_text(encoding="utf-8")
    jobs = YAML(typ="safe").load(text)["scrape_configs"]
    targets = [t for job in jobs for s in job["static_configs"] for t in s["targets"]]
    assert targets == ["tritonserver:8002", "measure:9108"]
    for target in targets:
        host, _, port = target.partition(":")
        assert f"127.0.0.1:{port}:{port}" in compose["services"][host]["ports"]


def test_the_image_has_the_tensorrt_of_the_servers_release(compose: dict[str, Any]) -> None:
    base = re.search(r"^ARG GPU_BASE=(\S+)$", DOCKERFILE, re.M)
    assert base is not None
    services = compose["services"]
    assert resolved(services["prepare"]["build"]["args"]["GPU_BASE"]) == base[1]
    server = resolved(services["tritonserver"]["image"])
    assert base[1].partition(":")[2] == server.partition(":")[2]


def stages() -> dict[str, str]:
    """Name → the lines of each stage."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", DOCKERFILE, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_there_is_an_image_for_the_cpu_and_the_last_one_is_for_gpus(
    compose: dict[str, Any],
) -> None:
    assert list(stages()) == ["cpu", "gpu"]
    assert compose["services"]["measure"]["build"]["target"] == "gpu"


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_an_image_has_all_that_it_can_run_by_the_constraints_and_no_root(name: str) -> None:
    stage = stages()[name]
    lines = stage.replace("\\\n", "").splitlines()
    installs = [part for line in lines for part in line.split("&&") if "pip install" in part]
    assert installs and all("--constraint constraints.txt" in part for part in installs)
    (extras,) = re.findall(r"'\.\[([\w,-]+)\]'", stage)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    known = project["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(known)
    left_out = {"dev", "mlflow", "ray", "tensorrt", "pycuda", "wandb"}
    left_out.add("onnxruntime-gpu" if name == "cpu" else "onnxruntime")
    assert set(known) - set(extras.split(",")) <= left_out
    assert ("pycuda" in stage) == (name == "gpu")
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER ${UID}"]  # a number, so that Kubernetes sees that it is not root
    assert "ARG UID=1000" in lines
    assert lines.index("RUN harness triton install") > lines.index("USER ${UID}")
    for path in re.findall(r"^COPY (.+) \S+$", stage, re.M):
        assert all((ROOT / word).exists() for word in path.split())


def pinned(folder: Path, digest: str) -> subprocess.CompletedProcess[str]:
    """docker/pin.sh with a stand-in for the engine, which can't be had here."""
    docker = folder / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\necho {digest}\n')
    docker.chmod(0o755)
    (folder / "pins").mkdir()
    script = folder / "pins" / "pin.sh"
    script.write_text((ROOT / "docker/pin.sh").read_text("utf-8"))
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    return subprocess.run(["sh", script], env=env, capture_output=True, text=True, check=False)


def test_images_can_be_pinned_by_the_digests_of_their_registries(
    tmp_path: Path, compose: dict[str, Any]
) -> None:
    assert pinned(tmp_path, "sha256:" + "a" * 64).returncode == 0
    written = (tmp_path / "pins" / "images.env").read_text().splitlines()
    found = dict(line.split("=", 1) for line in written if not line.startswith("#"))
    text = json.dumps(compose) + DOCKERFILE
    for name, image in found.items():
        assert image.endswith("@sha256:" + "a" * 64)
        assert name in text
    asked = {line.split()[3] for line in (tmp_path / "asked").read_text().splitlines()}
    images = {resolved(s["image"]) for s in compose["services"].values() if "build" not in s}
    named = {image for image in images if "@" not in image}
    named |= set(re.findall(rf"{DIGEST}\}} # (\S+)$", COMPOSE, re.M))  # what a digest is of
    assert len(named) == len(images) == 3
    assert asked == named | {base.partition("@")[0] for base in BASES}


def test_without_an_answer_nothing_is_pinned(tmp_path: Path) -> None:
    done = pinned(tmp_path, "toomanyrequests")
    assert done.returncode == 1
    assert "no digest but 'toomanyrequests'" in done.stderr
    assert not (tmp_path / "pins" / "images.env").exists()
