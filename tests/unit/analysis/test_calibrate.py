"""A calibration's sentences."""

import json
import math

import pytest

from harness.analysis.calibrate import calibration_text
from harness.results.calibration import SCHEMA_VERSION
from harness.system.files import jsonable


def test_text_is_made_from_what_is_stored():
    design = {"comparisons": 4000, "false_alarms": 12,
              "detectable": {"throughput": 0.0292, "p99": math.inf}}  # fmt: skip
    stored = json.loads(json.dumps(jsonable({
        "schema_version": SCHEMA_VERSION, "scenario": "fake",
        "created": "2026-03-04T10:11:12+00:00", "runs": 4, "rounds": 10,
        "spread": {"p50": {"round": 0.011, "run": 0.004}}, "halves": design,
        "between": {**design, "false_alarms": 700}, "drifts": {"p50 of fake/b1/c1": 0.0101},
    })))  # fmt: skip
    assert calibration_text(stored) == (
        "On this machine an A/A test of fake (4 runs of 10 rounds, 2026-03-04) varied from round "
        "to round and from run to run by p50 1.1 % and 0.4 % (standard deviations). First half "
        "against second half of a run: a false alarm in 12 of 4,000 comparisons, smallest effect "
        "found throughput 2.9 %, p99 none below 100 %. Run against run: a false alarm in 700 of "
        "4,000 comparisons, smallest effect found throughput 2.9 %, p99 none below 100 %. "
        "It drifts from one round of a run to the next: p50 of fake/b1/c1 by +1 %."
    )
    assert "drifts" not in calibration_text({**stored, "drifts": {}})
    with pytest.raises(KeyError):
        calibration_text({})
