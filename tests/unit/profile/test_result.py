from __future__ import annotations

import pytest
from support.kineto import Machine
from support.profiled import gpu_profile

from harness.profile.result import PART_WORDS, PARTS, Finding, Profile
from harness.results.line import adapter


def test_a_profile_is_read_back_as_it_was_written() -> None:
    profile = gpu_profile(Machine(launch_us=60.0))
    again = adapter(Profile).validate_json(adapter(Profile).dump_json(profile))
    assert adapter(Profile).dump_json(again) == adapter(Profile).dump_json(profile)
    assert again.findings == profile.findings


def test_the_parts_of_a_request_are_its_whole_time() -> None:
    batch = gpu_profile(Machine(noise=0.3)).backends[0].batches[0]
    for n, wall in enumerate(batch.parts_us["wall"]):
        assert sum(batch.parts_us[p][n] for p in PARTS) == pytest.approx(wall)
    assert sum(batch.bound.shares.values()) == pytest.approx(1)
    assert set(PART_WORDS) == set(PARTS)
    assert batch.wall_us == pytest.approx(batch.profiled_ms * 1e3)


def test_amdahls_factor() -> None:
    found = Finding(1, "t", 1, "compile", "x", 0.75, "", "")
    assert found.factor == pytest.approx(4)
