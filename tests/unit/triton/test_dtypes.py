import numpy as np
import pytest

from harness.errors import ModelRefusedError
from harness.triton.dtypes import NUMPY, TRITON, to_numpy, to_triton


@pytest.mark.parametrize("name", sorted(TRITON))
def test_every_type_has_a_way_back(name):
    assert to_numpy(to_triton(name, "x"), "x") == name


def test_tritonclient_means_the_same_types():
    utils = pytest.importorskip("tritonclient.utils")
    for triton, ours in NUMPY.items():
        if triton not in ("BF16", "BYTES"):  # numpy has no bfloat16; bytes are objects
            assert np.dtype(utils.triton_to_np_dtype(triton)) == np.dtype(ours)


def test_a_type_that_is_not_there_names_the_tensor():
    with pytest.raises(ModelRefusedError, match=r"'mask'.*FP8"):
        to_numpy("FP8", "mask")
    with pytest.raises(ModelRefusedError, match="'mask'") as caught:
        to_triton("sequence", "mask")
    assert "ZipMap" in (caught.value.fix or "")
    with pytest.raises(ModelRefusedError, match="'mask' is complex64") as caught:
        to_triton("complex64", "mask")
    assert caught.value.fix.startswith("cast it to float32, float16")
