"""One Triton over several GPUs: what each of them brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.rows import measurement

from harness.report.model.context import Context, build_context
from harness.report.sections import scaling
from harness.results.rows import LoadedRow
from harness.results.store import RunStore, read_run
from harness.triton.repository.change import merged
from harness.triton.repository.native import proto

GROUPS = {n: [{"count": 2, "kind": "KIND_GPU", "gpus": list(range(n))}] for n in (1, 2, 4)}


def config(gpus: int) -> str:
    """As the harness writes it for `config: {instance_group: …}`."""
    empty = proto().ModelConfig(name="m")
    return proto().text(merged(empty, {"instance_group": GROUPS[gpus]}))


@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_the_gpus_are_those_that_the_groups_name(gpus: int) -> None:
    assert scaling.gpus_of(config(gpus)) == gpus


@pytest.mark.parametrize(("text", "gpus"), [
    ("instance_group { count: 2 kind: KIND_GPU }", 0), ("instance_group [{gpus: [0, 1, 3]}]", 3),
    ("instance_group { gpus: 0 } instance_group { gpus: 0 gpus: 1 }", 2), ("", 0),
])  # fmt: skip
def test_other_spellings(text: str, gpus: int) -> None:
    assert scaling.gpus_of(text) == gpus


def run(path: Path, speeds: dict[int, dict[int, float]], **more: Any) -> Context:
    """Three rounds; GPUs → concurrency → throughput."""
    backends = [{"kind": "triton", "name": f"g{n}", "device": "cuda"} for n in speeds]
    scenario = {"scenario": "s", "model": {"name": "m"}, "backends": backends,
                "load": {"batch_sizes": [8], "concurrency": [2, 8]}, "objective": "throughput",
                "measurement": {}}  # fmt: skip
    with RunStore.create(path, {"scenario": scenario, "schema_version": 3}) as store:
        for n, by_load in speeds.items():
            details: Any = {"config": config(n)}
            store.append(LoadedRow(f"g{n}", 0, 1.0, 1.0, None, None, None, details))
            gpus = {f"GPU-{k}": {"utilization_percent": 90.0 - k, "memory_used_mib": 500.0 + k}
                    for k in range(4)}  # fmt: skip
            for round_ in range(3):
                for load, speed in by_load.items():
                    store.append(measurement(
                        point=f"g{n}/b8/c{load}", backend=f"g{n}", batch_size=8, concurrency=load,
                        round=round_, throughput=speed * (1 + 0.001 * round_), cpu_cores=1.5,
                        client_cpu_percent=50.0, details={"metrics": {"gpus": gpus}}, **more,
                    ))  # fmt: skip
    return build_context(read_run(path))


def test_each_configuration_stands_at_its_best_load(tmp_path: Path) -> None:
    context = run(tmp_path / "run", {2: {2: 150.0, 8: 380.0}, 1: {2: 150.0, 8: 200.0}})
    one, two = scaling.scaled(context)
    assert (one.gpus, one.row.concurrency, two.gpus, two.row.concurrency) == (1, 8, 2, 8)
    assert one.efficiency is not None and two.efficiency is not None
    assert one.efficiency.value == pytest.approx(1.0)
    assert two.speed_up is not None and two.speed_up.value == pytest.approx(1.9)
    assert two.efficiency.value == pytest.approx(0.95)
    assert two.efficiency.low is not None and two.efficiency.low <= two.efficiency.value
    section = scaling.section(context)
    assert section is not None
    (table,) = [block.table for block in section.blocks if hasattr(block, "table")]
    titles = [header.text for header in table.headers]
    shown = dict(zip(titles, (cell.text for cell in table.rows[1]), strict=True))
    assert (shown["GPUs"], shown["Configuration"], shown["Load"]) == ("2", "g2", "8")
    assert shown["GPU busy, each (%)"] == "90 · 89 · 88 · 87"
    assert shown["GPU memory, each (MiB)"] == "500 · 501 · 502 · 503"
    assert (shown["Server cores"], shown["Client cores"]) == ("1.50", "0.50")


def test_one_number_of_gpus_is_nothing_to_compare(tmp_path: Path) -> None:
    assert scaling.section(run(tmp_path / "run", {2: {2: 100.0}})) is None


def test_what_was_not_read_is_not_made_up(tmp_path: Path) -> None:
    context = run(tmp_path / "run", {1: {2: 100.0}, 4: {2: 300.0}})
    (row,) = [s.row for s in scaling.scaled(context) if s.gpus == 4]
    assert scaling._each(row, "power_w").text == "n/a"
