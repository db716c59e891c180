import ml_dtypes
import numpy as np
import pytest

from harness.backends.base import BackendContext, ServerAddress
from harness.errors import ServerError
from harness.models.tensors import PreparedModel, Signature, TensorSpec
from harness.triton.client import common
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import TRITON
from harness.triton.metadata import Description


def description(*inputs, max_batch_size=8):
    specs = tuple(TensorSpec(*i) for i in inputs)
    return Description("m", ("1",), Signature(specs, ()), max_batch_size, frozenset(), "")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("dtype", sorted(TRITON))
def test_every_type_becomes_an_input_of_the_client(protocol, dtype):
    carried = {"bfloat16": "float32", "string": "str"}.get(dtype, dtype)
    array = np.array([[0, 1, 2]]).astype(carried)
    found = description(("x", dtype, ("batch", 3)))
    (tensor,) = common.request_inputs(found, {"x": array}, protocol)
    assert (tensor.name(), tensor.datatype(), list(tensor.shape())) == ("x", TRITON[dtype], [1, 3])
    sent = tensor._get_binary_data() if protocol == "http" else tensor._get_content()
    exact = array.astype(ml_dtypes.bfloat16) if dtype == "bfloat16" else array
    strings = b"\1\0\0\x000\1\0\0\x001\1\0\0\x002"
    assert bytes(sent) == (strings if dtype == "string" else exact.tobytes())


def test_arrays_that_are_not_contiguous():
    array = np.arange(12, dtype="float32").reshape(3, 4).T
    found = description(("x", "float32", ("batch", 3)))
    (tensor,) = common.request_inputs(found, {"x": array}, "http")
    assert tensor._get_binary_data() == np.ascontiguousarray(array).tobytes()


def test_a_batch_that_is_too_large():
    found = description(("x", "float32", ("batch", 3)), max_batch_size=4)
    common.check_batch(found, {"x": np.zeros((4, 3))})
    with pytest.raises(ServerError, match="batch 5 is more than the max_batch_size 4") as caught:
        common.check_batch(found, {"x": np.zeros((5, 3))})
    assert "up to 4" in (caught.value.fix or "")


def test_a_server_that_takes_one_size_only():
    found = description(("x", "float32", (1, 3)), max_batch_size=0)
    common.check_batch(found, {"x": np.zeros((1, 3))})
    with pytest.raises(ServerError, match="does not batch: its input 'x' has 1"):
        common.check_batch(found, {"x": np.zeros((2, 3))})


def test_any_batch_where_the_server_leaves_it_free():
    found = description(("x", "float32", ("batch", 3)), max_batch_size=0)
    common.check_batch(found, {"x": np.zeros((1000, 3))})


def test_a_tensor_of_the_batch_alone_has_a_1_more_on_the_server():
    found = description(("x", "int64", ("batch", 1)))
    (tensor,) = common.request_inputs(found, {"x": np.arange(3)}, "http")
    assert list(tensor.shape()) == [3, 1]
    assert common.to_host(np.zeros((3, 1)), 1).shape == (3,)
    assert common.to_host(np.zeros((3, 1))).shape == (3, 1)
    assert common.to_host(np.zeros(1)).shape == (1,)


def test_a_scalar_has_a_1_on_the_server():
    found = description(("x", "float32", (1,)), max_batch_size=0)
    (tensor,) = common.request_inputs(found, {"x": np.ones((), np.float32)}, "grpc")
    assert list(tensor.shape()) == [1]
    assert common.to_host(np.ones(1), 0).shape == ()
    assert common.to_host(np.ones(()), 0).shape == ()


def test_bfloat16_comes_back_as_float32():
    values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    host = common.to_host(values)
    assert host.dtype == np.float32
    assert host.tolist() == [1.5, -2.0]
    same = np.array([1, 2])
    assert common.to_host(same) is same


def test_the_address_of_the_protocol_is_needed():
    model = PreparedModel("m", {}, "", (), ())
    spec = TritonSettings.model_validate({"kind": "triton", "protocol": "grpc", "name": "t"})
    with pytest.raises(ServerError, match="no address of a Triton server for grpc"):
        common.target(spec, BackendContext(model, server=ServerAddress(http="localhost:8000")))
    found = common.target(spec, BackendContext(model, server=ServerAddress(grpc="localhost:8001")))
    assert (found.address, found.name) == ("localhost:8001", "m")
