"""The manifest read with tolerance: every key may be missing or of another type."""

from __future__ import annotations

import pytest

from harness.report.model.manifest_facts import (
    cpu_line,
    date_text,
    device_gpu,
    gib_text,
    gpu_line,
    gpu_memory,
    gpus,
    hardware_line,
    mapping,
    number,
    sequence,
    text,
)

GPUS = [
    {"index": 0, "name": "A", "uuid": "GPU-a", "memory_mib": 1024.0},
    {"index": 1, "name": "A", "uuid": "GPU-b", "memory_mib": 2048},
]


def test_what_is_missing_or_of_another_type_is_empty() -> None:
    for data in (None, 3, "x", {}, {"a": 1}, {"a": None}):
        assert mapping(data, "a", "b") == {}
        assert sequence(data, "a") == ()
    assert text({}, "a", "b") == "unknown"
    assert text({"a": {"b": 0}}, "a", "b") == "0"
    assert text({"a": ""}, "a", default="—") == "—"
    assert (number({"a": 2}, "a"), number({"a": True}, "a"), number({"a": "2"}, "a")) == (
        2.0, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2026-03-04T10:11:12+02:00", "2026-03-04 08:11 UTC"),
        ("2026-03-04T10:11:12", "2026-03-04 10:11 UTC"),
        ("yesterday", "yesterday"),
        (None, "unknown"),
    ],
)
def test_the_date_is_utc(created: str | None, shown: str) -> None:
    assert date_text({"created": created}) == shown


def test_gpus_are_counted_and_their_memory_added_where_all_is_known() -> None:
    manifest = {"machine": {"gpus": [*GPUS, "not one"]}}
    assert gpu_line(manifest) == "2 × A"
    assert gpu_memory(manifest) == 3072.0
    assert gpu_memory({"machine": {"gpus": [GPUS[0], {"name": "B"}]}}) is None
    assert (gpu_line({}), gpu_memory({}), gpus({})) == ("none", None, [])
    assert gib_text(3072.0) == "3.0 GiB"
    assert gib_text(None) == "unknown"


def test_without_a_gpu_the_hardware_is_the_cpu() -> None:
    cpu = {"machine": {"cpu": {"model": "C", "cores": 2, "threads": 4}}}
    assert cpu_line(cpu) == "C, 2 cores, 4 threads"
    assert hardware_line(cpu) == "CPU C, 2 cores, 4 threads"
    assert hardware_line({"machine": {"gpus": GPUS[:1]}}) == "GPU(s) 1 × A"


@pytest.mark.parametrize(
    ("device", "uuid"),
    [("cuda:1", "GPU-b"), ("GPU-b", "GPU-b"), ("cuda", "GPU-a"), (None, "GPU-a")],
)
def test_a_backend_ran_on_the_gpu_that_it_names_else_on_the_first(
    device: str | None, uuid: str
) -> None:
    assert device_gpu({"machine": {"gpus": GPUS}}, {"device": device})["uuid"] == uuid
    assert device_gpu({}, {"device": device}) == {}
