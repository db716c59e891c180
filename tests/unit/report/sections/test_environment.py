"""The environment: a row a fact, and the scenario as it was written."""

from __future__ import annotations

from dataclasses import replace

from harness.report.model.context import Context
from harness.report.model.section import Code, Text
from harness.report.sections.environment import machine_table, packages_table, section


def facts(context: Context) -> dict[str, str]:
    return {row[0].text: row[1].text for row in machine_table(context).rows}


def test_machine_software_and_seeds_are_listed(cpu: Context, gpu: Context) -> None:
    found = facts(cpu)
    assert found["Git commit"] == "0123456789abcdef0123456789abcdef01234567 with local changes"
    assert (found["Memory"], found["GPU"]) == ("7.8 GiB", "none")
    assert "order 0" in found["Seeds"]
    assert found["Command"].startswith("harness run ")
    assert found["Triton"] == "2.51.0"  # as the server said; it is no package
    assert found["torch"] == "2.13.0"  # short print has no table of packages
    packages = packages_table(cpu)
    assert packages is not None
    versions = {name.text: version.text for name, version in packages.rows}
    assert (versions["numpy"], versions["torch"]) == ("2.4.0", "2.13.0")
    assert facts(gpu)["GPU 0"].startswith("NVIDIA H100 80GB HBM3, 79.6 GiB, driver 570.86.15, CUDA")


def test_where_each_lane_measured_is_said(cpu: Context) -> None:
    whole = ["harness", "run", "s.yaml", "--devices", "cpus:2"]
    parts = [{"block": f"CPU {k} of vm", "shard": f"{k}/2", "rounds": [k, k + 2], "command": whole}
             for k in range(2)]  # fmt: skip
    changed = {**cpu.manifest, "command": whole, "shards": parts}
    found = facts(replace(cpu, data=replace(cpu.data, manifest=changed)))
    assert found["Shard 1/2"] == "CPU 1 of vm, rounds 2 and 4"  # by the run's command
    runs = [{"block": "h", "shard": "0/1", "rounds": [1], "command": ["harness", "run", "a b"]}]
    found = facts(replace(cpu, data=replace(cpu.data, manifest={**changed, "shards": runs})))
    assert found["Run 1"] == "h, round 2: harness run 'a b'"
    facts(replace(cpu, data=replace(cpu.data, manifest={"shards": [{"rounds": ["x"]}, 3]})))


def test_the_scenario_stands_as_it_was_written(cpu: Context) -> None:
    _, _, code = section(cpu).blocks
    assert isinstance(code, Code)
    assert code.text == cpu.manifest["scenario_text"]
    assert code.title == "Scenario as written, scenarios/resnet50.yaml"
    assert code.summary == "The scenario as written, scenarios/resnet50.yaml"
    bare = replace(cpu, data=replace(cpu.data, manifest={}))
    assert len(section(bare).blocks) == 1


def test_what_set_changed_stands_before_the_scenario_as_written(cpu: Context) -> None:
    changed = {**cpu.manifest, "overrides": ["load.batch_sizes=[1, 8]", "measurement.rounds=3"]}
    _, _, said, code = section(replace(cpu, data=replace(cpu.data, manifest=changed))).blocks
    assert isinstance(said, Text) and isinstance(code, Code)
    assert said.text.startswith("The scenario had these changes ")  # in print it is not below
    assert said.text.endswith("(--set): load.batch_sizes=[1, 8] and measurement.rounds=3.")
