from collections import Counter

import numpy as np

from harness.load.wire.processes import merge
from harness.results.samples import OK, SHED, Samples


def part(done, caller, status=OK):
    done = np.array(done, np.int64)
    rows = len(done)
    return Samples(
        done - 3, done - 2, done, np.full(rows, status, np.uint8), np.array(caller, np.uint16)
    )


def test_nothing_is_lost_and_callers_stay_apart():
    first, second = part([10, 30], [0, 1]), part([20, 40, 5], [1, 0, 0], SHED)
    merged = merge([(first, 2), (second, 2)], Counter(bad=2))
    assert merged.done.tolist() == [5, 10, 20, 30, 40]
    assert merged.caller.tolist() == [2, 0, 3, 1, 2]
    assert merged.status.tolist() == [SHED, OK, SHED, OK, SHED]
    assert (merged.done - merged.sent == 2).all() and (merged.sent - merged.scheduled == 1).all()
    assert merged.messages == {"bad": 2}
