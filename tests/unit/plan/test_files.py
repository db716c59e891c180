"""The files of every system: valid by strict schemas, whole with hostile names."""

from __future__ import annotations

import copy
import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from support import planned

from harness.errors import UsageError
from harness.plan.deployment import Service, dns_label
from harness.plan.files import files_of, header, write_files, yaml_text
from harness.plan.front import Written, service_of
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.proving import Outcome, Proof, Trial
from harness.plan.systems import SYSTEMS

HOSTILE_NAME = dns_label(f"{planned.HOSTILE}/b1/c1")


@pytest.fixture(scope="module")
def hostile() -> Plan:
    """Everything that has a name is hostile; the driver is one that no system refuses."""
    data = planned.run(backend=planned.HOSTILE)
    return make_plan(data, planned.demand(growth=0.5), Asked(compute=20, driver=615))


def texts(plan: Plan, system: str, image: str = "") -> dict[str, str]:
    (row,) = [row for row in plan.systems if row.system.name == system]
    assert not row.refused
    return files_of(row, plan, service_of(plan, Written(image=image, models=planned.HOSTILE)))


def documents(text: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(text))


@pytest.fixture(scope="module")
def objects(hostile: Plan) -> list[tuple[str, Any]]:
    """System and object, of all files for Kubernetes."""
    found = {name: texts(hostile, name, planned.HOSTILE) for name in SYSTEMS}
    return [
        (name, document)
        for name, files in found.items()
        if "kubernetes.yaml" in files
        for document in documents(files["kubernetes.yaml"])
    ]


def test_kubernetes_takes_every_object(objects: list[tuple[str, Any]]) -> None:
    kinds = set()
    for system, document in objects:
        kinds.add(document["kind"])
        if document["kind"] != "ServiceMonitor":  # a custom resource: its schema is the operator's
            kubernetes_validate.validate(document, "1.36", strict=True)
            assert document["metadata"]["name"], system
    assert kinds == {
        "Deployment", "Service", "ServiceMonitor", "HorizontalPodAutoscaler", "ResourceClaim",
        "ResourceClaimTemplate",
    }  # fmt: skip


def test_the_schemas_are_strict(objects: list[tuple[str, Any]]) -> None:
    document = copy.deepcopy(next(d for _, d in objects if d["kind"] == "Deployment"))
    document["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, "1.36", strict=True)


def test_a_hostile_name_stays_one_text(objects: list[tuple[str, Any]]) -> None:
    for system, document in objects:
        if document["kind"] == "Deployment":
            pod = document["spec"]["template"]
            assert pod["metadata"]["annotations"]["harness/point"].startswith(planned.HOSTILE)
            assert pod["spec"]["containers"][0]["image"] == planned.HOSTILE, system
            assert (
                pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == planned.HOSTILE
            )


def words(script: str) -> list[str]:
    """The one command of a script."""
    command = script.partition("set -eu\n")[2]
    return shlex.split(command)


@pytest.mark.parametrize("system", sorted(set(SYSTEMS) - {"dra-mig"}))
def test_a_share_of_compute_is_in_the_files_or_the_plan_says_that_it_is_not(
    hostile: Plan, system: str
) -> None:
    """20 % was asked for; nothing that is asked for is dropped without a word."""
    (row,) = [row for row in hostile.systems if row.system.name == system]
    assert row.rounded is not None
    said = any("--compute is left out" in note for note in row.rounded.notes)
    text = "".join(texts(hostile, system).values())
    equal = system in ("device-plugin", "gke")  # parts of a card are their share of threads too
    assert said or equal or any(word in text for word in ("=20", "'20'", ": 20", '"20"', " 20\n"))


@pytest.mark.parametrize("system", ["arena", "arena-128mib"])
def test_arena_has_gpumemory_and_no_gpus(hostile: Plan, system: str) -> None:
    found = words(texts(hostile, system, planned.HOSTILE)["arena.sh"])
    assert found[:3] == ["arena", "serve", "triton"]
    assert sum(w.startswith(("--gpus", "--gpumemory")) for w in found) == 1
    assert f"--image={planned.HOSTILE}" in found
    assert f"--gpumemory={'4' if system == 'arena' else '26'}" in found
    assert ("--gpucore=20" in found) is (system == "arena")


@pytest.mark.parametrize(
    ("system", "name", "word"),
    [
        ("hami-core", "hami-core.sh", "CUDA_DEVICE_MEMORY_LIMIT_0=3300m"),
        ("driver-limits", "container.sh", "NVIDIA_GPU_MEMORY_LIMIT=3300"),
        ("driver-limits", "cgroup.sh", "--hard-limit"),
        ("driver-limits", "cgroup.sh", f"/sys/fs/cgroup/{HOSTILE_NAME}"),
        ("gke", "node-pool.sh", "--cluster=CLUSTER"),
    ],
)
def test_command_lines_are_quoted(hostile: Plan, system: str, name: str, word: str) -> None:
    assert word in words(texts(hostile, system, planned.HOSTILE)[name])


def test_the_library_that_limits_is_in_the_container(hostile: Plan) -> None:
    """Else the loader passes over LD_PRELOAD with a line on stderr, and nothing is limited."""
    text = texts(hostile, "hami-core")["hami-core.sh"]
    words = shlex.split(text.partition("set -eu\n")[2])
    (library,) = (word.partition("=")[2] for word in words if word.startswith("LD_PRELOAD="))
    mount = words[words.index("--mount") + 1]
    assert mount == f"type=bind,source={library},target={library},readonly"
    assert words.index("--mount") < words.index("-v"), "before the image"


def test_mps_names_the_first_gpu_alone_and_a_pipe_of_its_own(hostile: Plan) -> None:
    found = texts(hostile, "mps")
    env = dict(w.split("=", 1) for w in shlex.split(found["mps.env"], comments=True) if "=" in w)
    assert env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=1320M"
    assert env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "20"
    assert env["CUDA_MPS_PIPE_DIRECTORY"] != env["CUDA_MPS_LOG_DIRECTORY"]
    assert "'set_default_device_pinned_mem_limit 0 1320M'" in found["start-mps.sh"]


def test_a_namespace_of_mps_v3_has_the_limits_again(hostile: Plan) -> None:
    found = tomllib.loads(texts(hostile, "mps-v3")["mps.toml"])
    (server,) = found["servers"].values()
    limits = {"pinned_memory_limit": "1320M", "active_thread_percentage": "20"}
    assert server["namespaces"] == {"replicas": limits}
    assert {k: server[k] for k in limits} == limits


def test_ecs_counts_all_of_a_containers_processes(hostile: Plan) -> None:
    task = json.loads(texts(hostile, "ecs", planned.HOSTILE)["task-definition.json"])
    (container,) = task["containerDefinitions"]
    assert container["image"] == planned.HOSTILE
    (gpu,) = container["resourceRequirements"]
    assert gpu["sharingStrategy"]["nvidiaMps"] == {"memory": 3960, "maxComputePercent": 20}


def test_ecs_starts_triton_on_its_models(hostile: Plan) -> None:
    task = json.loads(texts(hostile, "ecs")["task-definition.json"])
    (container,) = task["containerDefinitions"]
    assert container["command"] == ["tritonserver", "--model-repository=/models"]
    assert [port["containerPort"] for port in container["portMappings"]] == [8000, 8001, 8002]
    (mount,), (volume,) = container["mountPoints"], task["volumes"]
    assert (mount["containerPath"], mount["sourceVolume"]) == ("/models", volume["name"])


def test_no_accelerator_is_taken_for_granted(hostile: Plan) -> None:
    """A script that runs as it is would make nodes of another card than the plan's."""
    assert "type=ACCELERATOR," in texts(hostile, "gke")["node-pool.sh"]


def test_keda_stands_beside_every_autoscaler(hostile: Plan) -> None:
    for row in hostile.systems:
        files = files_of(row, hostile, service_of(hostile, Written()))
        scaled = "HorizontalPodAutoscaler" in files.get("kubernetes.yaml", "")
        assert ("keda.yaml" in files) == scaled, row.system.name


def test_pods_that_share_a_claim_are_as_many_as_a_card_holds(hostile: Plan) -> None:
    found = documents(texts(hostile, "dra-mps")["kubernetes.yaml"])
    claims = [d["metadata"]["name"] for d in found if d["kind"] == "ResourceClaim"]
    deployments = [d["spec"] for d in found if d["kind"] == "Deployment"]
    assert len(claims) == len(set(claims)) == len(deployments)
    counts = [d["replicas"] for d in deployments]
    assert sum(counts) == hostile.sized.replicas
    assert max(counts) == 3  # 3 × 1,320 MiB, of 15,360
    assert len({str(d["selector"]) for d in deployments}) == len(deployments)


def test_every_system_has_a_file_and_none_where_it_is_refused(
    hostile: Plan, tmp_path: Path
) -> None:
    service = service_of(hostile, Written())
    written = write_files(hostile, service, tmp_path / "out")
    assert {path.parent.name for path in written} == set(SYSTEMS)
    assert all("verified" not in path.read_text("utf-8").lower() for path in written)
    with pytest.raises(UsageError, match="is not empty"):
        write_files(hostile, service, tmp_path / "out")
    refused = planned.plan()
    again = write_files(refused, service, tmp_path / "again")
    assert "driver-limits" not in {path.parent.name for path in again}


@pytest.mark.parametrize(
    "text", [planned.HOSTILE, "yes", "1e3", "null", "0x10", "- a", "'", "\x07"]
)
def test_yaml_texts_read_back(text: str) -> None:
    assert documents(yaml_text([{text: text}])) == [{text: text}]


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        ("holds", "# Made by harness plan; 1,650 MiB a process verified under CUDA MPS.\n"),
        ("fails", "# Made by harness plan; NOT verified: 1,650 MiB a process did not hold"),
    ],
)
def test_a_file_says_whether_its_request_was_tried(
    tmp_path: Path, outcome: Outcome, line: str
) -> None:
    trial = Trial(1650, outcome, "why\nkind: Pod", full=True, how="CUDA MPS")
    proof = Proof("gpu_memory", 1650, True, (trial,), 16)
    tried = replace(planned.plan(systems=("kai", "arena")), proof=proof)
    written = write_files(tried, Service("s", "p", True, 1, 1, 1.0), tmp_path / "out")
    assert len(written) == 3
    for path in written:
        text = path.read_text()
        assert line in text
        assert "not yet tried" not in text
        assert "kind: Pod" not in text
    said = header(replace(tried, proof=replace(proof, partial=True)))
    assert "NOT verified" in said
    assert outcome == "fails" or "under a partial cap" in said
