import numpy as np

from harness.models.bfloat16 import from_bits, rounded, to_bits


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan() -> None:
    values = np.float32([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.0e38, np.inf, np.nan])
    back = from_bits(to_bits(values))
    assert back[:3].tolist() == [1.0, 1.0, 1 + 2**-6]
    assert np.isinf(back[4]) and np.isnan(back[5])


def test_what_is_rounded_stays_what_it_is():
    values = np.float32([1.0, -1.001, 3.4e38, np.inf, -np.inf, 0.0])
    once = rounded(values)
    np.testing.assert_array_equal(rounded(once), once)
    np.testing.assert_allclose(once[:2], values[:2], rtol=2**-8)
    assert once[1] != values[1]
    assert np.isinf(once[3:5]).all() and (np.sign(once[3:5]) == [1, -1]).all()
