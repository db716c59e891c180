"""Golden cases: values computed by hand from each system's rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.plan import rounding
from harness.plan.rounding import Need, Refused, Rounded, device_plugin
from harness.plan.sizing import fit
from harness.plan.systems import SYSTEMS
from harness.plan.units import GIB


def need(mib: int, card: int | None = 15_360, processes: int = 1, **changes: int) -> Need:
    """Of one process, or of several that each need as much."""
    return replace(Need(mib * processes, mib, processes, card_mib=card), **changes)  # type: ignore[arg-type]


def of(system: str, wanted: Need) -> Rounded:
    found = SYSTEMS[system].request(wanted)
    assert isinstance(found, Rounded), found
    return found


@pytest.mark.parametrize(
    ("system", "wanted", "written", "mib", "per_card"),
    [
        # Arena and ACK: GiB up; a card counts floor(MiB/1024)
        ("arena", need(4096), "4", 4096, 3),
        ("arena", need(4097), "5", 5120, 3),
        ("arena", need(1), "1", 1024, 15),
        ("arena", need(4096, 81_559), "4", 4096, 19),
        ("arena", need(4096, 16_383), "4", 4096, 3),
        ("ack", need(1024, 15_109), "1", 1024, 14),
        ("ack", need(3000), "3", 3072, 5),
        # the unit of 128 MiB: 32 is 4 GiB
        ("arena-128mib", need(4096), "32", 4096, 3),
        ("ack-128mib", need(4096), "32", 4096, 3),
        ("ack-128mib", need(4097), "33", 4224, 3),
        ("ack-128mib", need(1), "1", 128, 120),
        # gpushare: GiB, or MiB by flag
        ("gpushare", need(979), "1", 1024, 15),
        ("gpushare-mib", need(979), "979", 979, 15),
        # HAMi: MiB × the cluster's factor
        ("hami", need(4096), "4096", 4096, 3),
        ("hami", need(4096, memory_factor=10), "410", 4100, 3),
        ("hami", need(1000, memory_factor=1024), "1", 1024, 15),
        # percentages are floored: 27 % of 15,360 are 4,147; 26 % would be 3,993
        ("hami-percentage", need(4096), "27", 4147, 3),
        ("hami-percentage", need(7680), "50", 7680, 2),
        ("hami-percentage", need(7681), "51", 7833, 1),
        ("hami-percentage", need(815, 81_559), "1", 815, 100),
        ("hami-percentage", need(816, 81_559), "2", 1631, 50),
        # HAMi-core: binary suffixes
        ("hami-core", need(2048), "2g", 2048, 7),
        ("hami-core", need(1025), "1025m", 1025, 14),
        # Volcano: MB × factor, counted to 32,767
        ("volcano-vgpu", need(4096), "4096", 4096, 3),
        ("volcano-vgpu", need(32_767, 81_559), "32767", 32_767, 1),
        ("volcano-vgpu", need(4096, 81_559), "4096", 4096, 7),
        ("volcano-vgpu", need(4096, 81_559, memory_factor=3), "1366", 4098, 19),
        ("volcano-vgpu-percentage", need(4096), "27", 4147, 3),
        ("volcano-gpu-share", need(979), "979", 979, 15),
        # KAI: hundredths of the card, up; a step of an 80 GB card is about 816 MiB
        ("kai", need(4096), "4096", 4147, 3),
        ("kai", need(1, 81_559), "1", 815, 100),
        ("kai", need(816, 81_559), "816", 1631, 50),
        ("kai", need(15_360), "15360", 15_360, 1),
        ("kai-fraction", need(4096), "0.27", 4147, 3),
        ("kai-fraction", need(7680), "0.5", 7680, 2),
        ("kai-fraction", need(1536), "0.1", 1536, 10),
        ("runai", need(954), "954Mi", 954, 16),
        ("runai", need(4096), "4Gi", 4096, 3),
        # MPS: each process's
        ("mps", need(2048), "2G", 2048, 7),
        ("mps", need(1280), "1280M", 1280, 12),
        ("mps", need(2048, processes=2), "2G", 4096, 3),
        ("mps", need(2048, processes=4), "2G", 8192, 1),
        ("mps-v3", need(2048, processes=2), "2G", 4096, 3),
        ("dra-mps", need(10_240, 81_559), "10Gi", 10_240, 7),
        ("dra-mps", need(1025, processes=2), "1025Mi", 2050, 7),
        # the device plugin: floor(total/replicas)
        ("device-plugin", need(4096), "3", 5120, 3),
        ("device-plugin", need(5120), "3", 5120, 3),
        ("device-plugin", need(5121), "2", 7680, 2),
        ("device-plugin", need(2048, processes=2), "3", 5120, 3),
        ("device-plugin", need(4096, 15_109), "3", 5036, 3),
        ("device-plugin-time-slicing", need(4096), "3", 4096, 3),
        ("dra-capacity", need(10_240, 81_559), "10Gi", 10_240, 7),
        ("dra-hami", need(979), "979Mi", 979, 15),
        ("driver-limits", need(979), "979", 979, 15),
        # ECS places by the figure that is each process's limit
        ("ecs", need(2048), "2048", 2048, 7),
        ("ecs", need(2048, processes=2), "4096", 4096, 3),
        ("gke", need(4096), "3", 5120, 3),
        ("gke", need(300), "48", 320, 48),
    ],
)  # fmt: skip
def test_golden(system: str, wanted: Need, written: str, mib: int, per_card: int) -> None:
    found = of(system, wanted)
    assert (found.written, found.mib, found.per_card) == (written, mib, per_card)
    assert found.mib >= wanted.mib


@pytest.mark.parametrize(
    ("system", "wanted", "said"),
    [
        ("ack", need(15_000, 15_109), "a card of 15,109 MiB counts 14"),
        ("arena", need(16_385, 16_384), "counts 16"),
        ("hami", need(15_361), "counts 15,360"),
        ("hami-percentage", need(15_361), "the card has 15,360"),
        ("hami-percentage", need(100, None), "--card-mib"),
        ("volcano-vgpu", need(32_768, 81_559), "gpu-memory-factor to 2 or more"),
        ("kai", need(15_361), "the card has 15,360"),
        ("kai", need(4096, None), "--card-mib"),
        ("kai-fraction", need(4096, None), "--card-mib"),
        ("mps", need(4096, processes=4), "4 × 4,096 MiB are 16,384"),
        ("device-plugin", need(15_361), "the card has 15,360"),
        ("device-plugin", need(1, None), "--card-mib"),
        ("gke", need(8000), "at least two clients"),
        ("ack", need(1024, compute_percent=101), "a card has 100"),
        ("driver-limits", need(979, driver=580), "needs driver r615; the driver is r580"),
        ("runai", need(979, driver=580), "needs driver r615"),
        ("mps-v3", need(979, driver=580), "needs driver r615"),
        ("device-plugin", need(979, mig=True), "whole cards only"),
        ("driver-limits", need(979, driver=615, mig=True), "whole cards only"),
        ("ack", need(15_361), "needs 16 units of 1,024 MiB"),
        ("ack-128mib", need(15_300, 15_109), "a card of 15,109 MiB counts 118"),
        ("volcano-vgpu-percentage", need(100, None), "--card-mib"),
        ("gke", need(1, None), "--card-mib"),
    ],
)
def test_what_a_system_can_not_hold_is_refused(system: str, wanted: Need, said: str) -> None:
    found = SYSTEMS[system].request(wanted)
    assert isinstance(found, Refused)
    assert said in found.why


@pytest.mark.parametrize(
    ("system", "asked", "compute"),
    [("arena", 1, 5), ("arena", 30, 30), ("ack", 31, 35), ("ack", 96, 100), ("hami", 31, 31),
     ("mps", 31, 31), ("device-plugin", 26, 33), ("device-plugin", 34, 50)],
)  # fmt: skip
def test_compute_goes_in_the_systems_steps(system: str, asked: int, compute: int) -> None:
    assert of(system, need(1024, compute_percent=asked)).compute == compute


@pytest.mark.parametrize("system", [name for name, s in SYSTEMS.items() if not s.compute])
def test_where_no_compute_can_be_written_the_plan_says_so(system: str) -> None:
    found = of(system, need(1024, compute_percent=30, driver=615))
    assert found.compute is None
    assert "--compute is left out" in found.notes[-1]


def test_a_card_that_volcano_can_not_count_says_by_which_factor_it_would() -> None:
    (note,) = of("volcano-vgpu", need(4096, 81_559)).notes
    assert "factor of 3 counts all of it" in note


def test_how_many_mig_devices_a_card_gives_is_not_ours_to_say() -> None:
    assert of("dra-mig", need(9000)).per_card is None


def test_no_part_of_a_card_is_left_without_threads() -> None:
    assert of("device-plugin", need(100, 81_559)).written == "100"
    assert of("device-plugin", need(100, 81_559)).compute == 1


def test_equal_parts_heed_how_busy_each_keeps_the_card() -> None:
    busy = replace(need(1024), busy_percent=30.0)
    assert of("device-plugin", busy).written == "3"
    assert rounding.fits_by_busy(None) is None
    assert rounding.fits_by_busy(120.0) == 1


@pytest.mark.parametrize("mib", range(1, 15_361, 997))
def test_kai_caps_never_below_what_is_needed(mib: int) -> None:
    assert of("kai", need(mib)).mib >= mib
    assert rounding.kai_percent(4096, 15_360) == 27


def test_units_of_a_card_of_unknown_size_fit_an_unknown_number() -> None:
    assert rounding.in_units(GIB)(need(4096, None)) == Rounded("4", 4096, None)


def test_equal_parts_that_compute_limits_are_bound_by_compute() -> None:
    need = Need(1000, 1000, busy_percent=30.0, card_mib=40_000)
    found = device_plugin(need)
    assert isinstance(found, Rounded)
    assert (found.written, found.per_card) == ("3", 40)
    assert fit(found, need, None, 12).binding == "compute"
