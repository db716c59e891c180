from dataclasses import replace

import pytest
from tritonclient.grpc.model_config_pb2 import ModelConfig
from tritonclient.grpc.service_pb2 import ModelMetadataResponse

from harness.errors import ServerError
from harness.models.tensors import PreparedModel, Signature, TensorSpec
from harness.triton.metadata import Description, check_inputs, composing, contradictions, read


def metadata(**tensors):
    found = ModelMetadataResponse(name="m", versions=["1"])
    for name, (datatype, shape) in tensors.items():
        side = found.outputs if name.startswith("y") else found.inputs
        side.add(name=name, datatype=datatype, shape=shape)
    return found


X = {"x": ("FP32", [-1, 3, -1]), "y": ("FP16", [-1, 10])}
BATCHED = ModelConfig(name="m", max_batch_size=8)


def model(*inputs, outputs=(), **kwargs):
    specs = [TensorSpec(*i) for i in inputs]
    return PreparedModel("m", {}, "", tuple(specs), tuple(outputs), **kwargs)


def test_read_names_the_free_dimensions():
    found = read(metadata(**X), BATCHED)
    assert found.signature.inputs == (TensorSpec("x", "float32", ("batch", 3, "x_2")),)
    assert found.signature.outputs == (TensorSpec("y", "float16", ("batch", 10)),)
    assert (found.max_batch_size, found.versions) == (8, ("1",))
    assert "max_batch_size: 8" in found.config


def test_a_server_that_does_not_batch():
    found = read(
        metadata(x=("INT64", [1, 3]), z=("BOOL", [-1]), y=("FP32", [2, -1])), ModelConfig(name="m")
    )
    assert [t.shape for t in found.signature.inputs] == [(1, 3), ("z_0",)]
    assert found.signature.outputs[0].shape == (2, "y_1")


def test_strings_have_a_type_and_what_is_unknown_is_named():
    assert read(metadata(x=("BYTES", [-1])), BATCHED).signature.inputs[0].dtype == "string"
    with pytest.raises(ServerError, match="'x' on the server is FP8"):
        read(metadata(x=("FP8", [-1])), BATCHED)


def test_models_whose_requests_depend_on_each_other():
    decoupled, sequence = ModelConfig(name="d"), ModelConfig(name="s")
    decoupled.model_transaction_policy.decoupled = True
    sequence.sequence_batching.SetInParent()
    with pytest.raises(ServerError, match="'d' is decoupled"):
        read(metadata(**X), decoupled)
    with pytest.raises(ServerError, match="'s' is a sequence model"):
        read(metadata(**X), sequence)


@pytest.mark.parametrize(
    "inputs",
    [
        [("x", "float32", ("batch", 3, 7))],
        [("x", "float32", ("batch", 3, "length"))],
        [("x", "float32", (4, 3, 7))],
    ],
)
def test_inputs_that_fit(inputs):
    check_inputs(read(metadata(**X), BATCHED), model(*inputs, dynamic={"length": 5}))


def test_optional_inputs_may_be_left_out():
    config = ModelConfig(name="m", max_batch_size=8)
    config.input.add(name="z", optional=True)
    found = read(metadata(**X, z=("FP32", [-1, 1])), config)
    check_inputs(found, model(("x", "float32", ("batch", 3, 7))))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([("x", "float64", ("batch", 3, 7))], "input 'x' is float32 (FP32) there, float64 (FP64)"),
        ([("x", "float32", ("batch", 4, 7))], "shape [batch, 3, x_2] there, [batch, 4, 7] here"),
        ([("x", "float32", ("batch", 3))], "shape [batch, 3, x_2] there, [batch, 3] here"),
        ([("w", "float32", ("batch", 3, 7))], "it has no input 'w' (its inputs: x)"),
        ([("w", "float32", ("batch", 3, 7))], "it needs an input 'x'"),
    ],
)
def test_inputs_that_do_not_fit(inputs, words):
    with pytest.raises(ServerError) as caught:
        check_inputs(read(metadata(**X), BATCHED), model(*inputs))
    assert words in caught.value.message


def test_dynamic_dimensions_are_checked_by_their_size():
    found = read(metadata(x=("FP32", [-1, 128])), BATCHED)
    asked = ("x", "float32", ("batch", "length"))
    check_inputs(found, model(asked, dynamic={"length": 128}))
    with pytest.raises(ServerError, match=r"\[batch, 128\] there, \[batch, 64\] here"):
        check_inputs(found, model(asked, dynamic={"length": 64}))


def test_outputs_must_be_there():
    wanted = model(("x", "float32", ("batch", 3, 7)), outputs=(TensorSpec("probs", "float32", ()),))
    with pytest.raises(ServerError, match=r"no output 'probs' \(its outputs: y\)"):
        check_inputs(read(metadata(**X), BATCHED), wanted)


def test_all_problems_at_once():
    wrong = model(("x", "int32", ("batch", 9)), ("w", "float32", ("batch",)))
    with pytest.raises(ServerError) as caught:
        check_inputs(read(metadata(**X), BATCHED), wrong)
    assert caught.value.message.count(";") == 2


def test_the_models_of_an_ensemble():
    config = ModelConfig(name="m", max_batch_size=8)
    for name in ("pre", "main", "pre"):
        config.ensemble_scheduling.step.add(model_name=name)
    assert read(metadata(**X), config).steps == ("pre", "main")
    assert read(metadata(**X), BATCHED).steps == ()


def test_ensembles_within_ensembles_and_models_that_are_only_listed():
    inner = {"main": ("a", "b"), "b": ("a",), "called": ("main",)}

    def steps_of(name):
        return inner.get(name, ())

    assert composing(("pre", "main"), (), steps_of) == ("pre", "main", "a", "b")
    assert composing((), ("called",), steps_of) == ("called", "main", "a", "b")
    assert composing((), (), steps_of) == ()


def test_the_latest_version_is_the_highest_number() -> None:
    found = Description("m", ("10", "9", "1"), Signature((), ()), 0, frozenset(), "")
    assert found.latest == "10"
    assert replace(found, versions=()).latest == ""


def test_a_scalar_fits_where_the_server_takes_one_number() -> None:
    found = read(metadata(x=("FP32", [1]), y=("FP32", [1])), ModelConfig(name="m"))
    check_inputs(found, model(("x", "float32", ())))
    with pytest.raises(ServerError, match=r"shape \[1\] there, \[2\] here"):
        check_inputs(found, model(("x", "float32", (2,))))


@pytest.mark.parametrize(
    ("shape", "dtype", "batch", "ok"),
    [
        ((3, 10), "float16", 3, True),
        ((3, 10), "float32", 3, False),
        ((2, 10), "float16", 3, False),
        ((3, 11), "float16", 3, False),
        ((3, 10, 1), "float16", 3, False),
        ((30,), "float16", 3, False),
    ],
)
def test_an_answer_is_held_to_the_description(shape, dtype, batch, ok):
    found = read(metadata(**X), BATCHED)
    wrong = contradictions(found, [TensorSpec("y", dtype, shape)], batch)
    assert list(wrong) == ([] if ok else ["y"])


def test_free_sizes_and_the_batch_alone_contradict_nothing():
    free = read(metadata(x=("FP32", [2]), y=("FP32", [-1, 2])), ModelConfig(name="m"))
    assert not contradictions(free, [TensorSpec("y", "float32", (7, 2))], 1)
    alone = read(metadata(x=("FP32", [-1, 2]), y=("INT64", [-1, 1])), BATCHED)
    assert not contradictions(alone, [TensorSpec("y", "int64", (4,))], 4)
    assert contradictions(alone, [TensorSpec("y", "int64", (5,))], 4)
    assert contradictions(alone, [], 4) == {"y": "output 'y' is not in the answer"}
