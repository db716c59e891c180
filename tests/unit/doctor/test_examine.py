"""What the doctor's findings come to."""

import json

from harness.doctor.examine import Findings
from harness.system.check import Check

CHECKS = [
    Check("Backends", "torch (cpu)", "ok", "2.0", runs=True),
    Check("Backends", "tensorrt", "missing", "not installed", "pip install it"),
    Check("Machine", "CPU", "ok", "2 cores"),
]


def test_only_what_can_measure_counts():
    assert Findings(CHECKS, {}).able == ["torch (cpu)"]
    assert Findings(CHECKS[1:], {}).able == []


def test_json_has_every_check_and_the_facts():
    data = json.loads(json.dumps(Findings(CHECKS[1:], {"packages": {"a": "1"}}).to_json()))
    assert (data["ok"], data["packages"]) == (False, {"a": "1"})
    assert [c["fix"] for c in data["checks"]] == ["pip install it", None]
