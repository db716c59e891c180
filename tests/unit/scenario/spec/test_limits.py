"""Limits in a scenario: their name's part, and what has none."""

from __future__ import annotations

import pytest

from harness.scenario.spec.limits import Limits


@pytest.mark.parametrize(
    ("limits", "tag"),
    [
        ({}, ""),
        ({"host_memory": "1.5GiB"}, "1536MiB"),
        ({"gpu_memory": "2GiB"}, "gpu2048MiB"),
        ({"host_memory": "512MiB", "gpu_memory": "2GiB"}, "512MiB-gpu2048MiB"),
    ],
)
def test_a_limit_is_in_the_backends_name(limits, tag):
    assert Limits.model_validate(limits).tag == tag
