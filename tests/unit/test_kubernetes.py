"""docker/kubernetes/stress.yaml: its parts refer to each other, its arguments are ours."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from support.paths import ROOT

from harness.cli.stress import command
from harness.scenario.reading.loader import load_text

FILE = ROOT / "docker" / "kubernetes" / "stress.yaml"


@pytest.fixture(scope="module")
def parts() -> dict[tuple[str, str], Any]:
    documents = YAML(typ="safe").load_all(FILE.read_text("utf-8"))
    return {(d["kind"], d["metadata"]["name"]): d for d in documents}


def jobs(parts: dict[tuple[str, str], Any]) -> dict[str, Any]:
    return {name: d["spec"] for (kind, name), d in parts.items() if kind == "Job"}


def container(job: Any) -> Any:
    (found,) = job["template"]["spec"]["containers"]
    return found


def test_each_part_is_what_kubernetes_takes(parts: dict[tuple[str, str], Any]) -> None:
    """By its own schemas, with no key that they don't know."""
    assert [kind for kind, _ in parts] == ["ConfigMap", "Service", "NetworkPolicy", "Job", "Job"]
    for document in parts.values():
        kubernetes_validate.validate(document, "1.36", strict=True)


def test_the_scenario_is_one(parts: dict[tuple[str, str], Any]) -> None:
    text = parts["ConfigMap", "harness-stress"]["data"]["scenario.yaml"]
    scenario = load_text(text, "scenario.yaml", ROOT)
    assert scenario.stress is not None
    assert scenario.stress.faults == ()


def test_the_arguments_are_those_of_the_command(parts: dict[tuple[str, str], Any]) -> None:
    found = {}
    for name, job in jobs(parts).items():
        first, *arguments = container(job)["args"]
        assert first == "stress"
        found[name] = command.make_context("stress", arguments).params
    master, worker = found["harness-stress-master"], found["harness-stress-worker"]
    assert master["scenario"] == worker["scenario"]
    assert master["workers"] == jobs(parts)["harness-stress-worker"]["parallelism"]
    host, _, port = str(worker["worker"]).rpartition(":")
    service = parts["Service", host]["spec"]
    assert str(service["ports"][0]["port"]) == port == str(master["master"]).rpartition(":")[2]


def test_labels_and_volumes_lead_somewhere(parts: dict[tuple[str, str], Any]) -> None:
    labels = [job["template"]["metadata"]["labels"] for job in jobs(parts).values()]
    policy = parts["NetworkPolicy", "harness-stress-master"]["spec"]
    wanted = [parts["Service", "harness-stress-master"]["spec"]["selector"],
              policy["podSelector"]["matchLabels"],
              policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]]  # fmt: skip
    assert all(selector in labels for selector in wanted)
    for job in jobs(parts).values():
        volumes = {v["name"]: v for v in job["template"]["spec"]["volumes"]}
        assert {m["name"] for m in container(job)["volumeMounts"]} == set(volumes)
        assert ("ConfigMap", volumes["scenario"]["configMap"]["name"]) in parts
