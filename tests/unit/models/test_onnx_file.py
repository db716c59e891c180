import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, external_data_helper, helper, numpy_helper  # noqa: E402

from harness.errors import UsageError  # noqa: E402
from harness.models.onnx_file import (  # noqa: E402
    batch_axes,
    check_batches,
    check_file,
    copy_model,
    cpu_session,
    match_inputs,
    model_hash,
    read_graph,
    read_inputs,
)
from harness.models.tensors import PreparedModel, TensorSpec  # noqa: E402


def model(**fields):
    return PreparedModel("m", {}, "", **{"inputs": (), "outputs": (), **fields})


@pytest.fixture
def linear(tmp_path):
    """Write x [shape] · w [3, 2] → y, and return the path."""

    def write(shape=("N", 3), *, external=False, name="m.onnx", scale=1.0):
        weights = numpy_helper.from_array(np.full((3, 2), scale, np.float32), "w")
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape)),
             helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*shape[:-1], 2])],
            [weights],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        onnx.save(
            model, tmp_path / name, save_as_external_data=external, location=f"{name}.data",
            size_threshold=0,
        )  # fmt: skip
        return tmp_path / name

    return write


def test_inputs_outputs_and_facts_are_read_without_the_weights(linear):
    inputs, outputs, facts = read_graph(linear())
    assert inputs == (TensorSpec("x", "float32", ("N", 3)),)
    assert outputs == (TensorSpec("y", "float32", ("N", 2)),)
    assert facts == {"opset": 17, "parameters": 6}


def test_other_dynamic_dimensions_keep_their_names_or_get_one(linear):
    assert read_graph(linear(("b", "seq", 3)))[0][0].shape == ("b", "seq", 3)
    for nameless in (None, "-1", "?"):
        assert read_graph(linear((nameless, nameless, 3)))[0][0].shape == ("x_dim0", "x_dim1", 3)


def test_a_dynamic_dimension_without_a_size_is_refused(linear):
    path = linear(("b", "seq", 3))
    inputs, outputs, _ = read_graph(path)
    read = read_inputs(path, inputs, outputs, model(dynamic={"seq": 5}), (1, 4))
    assert [t.shape for t in (*read.inputs, *read.outputs)] == [
        ("batch", "seq", 3), ("batch", "seq", 2)
    ]  # fmt: skip
    with pytest.raises(UsageError, match="dynamic dimension 'seq' has no size") as caught:
        read_inputs(path, inputs, outputs, model(), (1, 4))
    assert caught.value.fix == "add `dynamic: {seq: N}` to the model"


def test_all_missing_sizes_are_named_at_once(linear):
    path = linear(("b", "rows", "columns", 3))
    with pytest.raises(UsageError, match="dimensions 'rows', 'columns' have no size") as caught:
        read_inputs(path, *read_graph(path)[:2], model(), (1,))
    assert "dynamic: {rows: N, columns: N}" in caught.value.fix


def test_a_fixed_batch_fits_that_batch_size_only(linear):
    path = linear((4, 3))
    inputs, outputs, _ = read_graph(path)
    shapes = {i.name: i.shape for i in inputs}
    check_batches("f", shapes, [4])
    with pytest.raises(UsageError, match=r"batch fixed at 4, load\.batch_sizes asks for 1"):
        check_batches("f", shapes, [4, 1])
    read = read_inputs(path, inputs, outputs, model(), (4,))
    assert read.inputs[0].shape == ("batch", 3)
    assert "fixed at 4" in read.words


def test_the_batch_is_where_the_scenario_has_it(linear):
    path, wanted = linear((16, "N", 3)), TensorSpec("x", "float32", (16, "batch", 3))
    found = read_graph(path)[:2]
    read = read_inputs(path, *found, model(inputs=(wanted,)), (1, 4))
    assert read.inputs == (wanted,)
    assert read.outputs[0].shape == (16, "batch", 2)
    shapes, axes = {i.name: i.shape for i in found[0]}, batch_axes(read.inputs)
    assert axes == {"x": 1}
    check_batches("f", shapes, [1, 4], axes)
    with pytest.raises(UsageError, match=r"batch fixed at 5, load\.batch_sizes asks for 4"):
        check_batches("f", {"x": (16, 5, 3)}, [4], axes)


@pytest.mark.parametrize(("wanted", "message"), [
    (TensorSpec("z", "float32", ("batch", 3)), "has no input 'z'; it has x"),
    (TensorSpec("x", "int64", ("batch", 3)), r"the scenario says int64 \[batch, 3\]"),
    (TensorSpec("x", "float32", ("batch", 4)), r"wants float32 \[N, 3\]"),
    (TensorSpec("x", "float32", ("batch", 3, 1)), "wants float32"),
])  # fmt: skip
def test_inputs_of_the_scenario_must_fit_the_file(linear, wanted, message):
    path = linear()
    with pytest.raises(UsageError, match=message):
        match_inputs(path, read_graph(path)[0], (wanted,), {})


def test_inputs_of_the_scenario_must_be_complete(linear):
    path = linear()
    more = (*read_graph(path)[0], TensorSpec("q", "float32", ("batch",)))
    with pytest.raises(UsageError, match=r"model\.inputs lacks 'q'"):
        match_inputs(path, more, (TensorSpec("x", "float32", ("batch", 3)),), {})


def test_without_a_batch_a_request_is_one_inference(linear):
    path = linear(("N", 3))
    found = read_graph(path)[:2]
    none = model(batch="none", dynamic={"N": 7})
    assert read_inputs(path, *found, none, (1,)).inputs == found[0]
    with pytest.raises(UsageError, match="a request is one inference"):
        read_inputs(path, *found, none, (1, 4))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08\x07"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UsageError, match=r"m\.onnx is not a valid ONNX model"):
        check_file(tmp_path / "m.onnx")


def test_external_data_is_hashed_and_copied_along(linear, tmp_path):
    path = linear(external=True)
    before = model_hash(path)
    target = tmp_path / "copy" / "model.onnx"
    target.parent.mkdir()
    copy_model(path, target)
    check_file(target)
    assert [p.name for p in sorted(target.parent.iterdir())] == ["m.onnx.data", "model.onnx"]
    linear(external=True, scale=2.0)
    assert model_hash(path) != before


@pytest.fixture
def branching(tmp_path):
    """An If whose branches hold their weights as an initializer and as a Constant's value, each in
    a file of its own; the path.
    """
    weights = {n: numpy_helper.from_array(np.full(3, i, np.float32), n) for i, n in enumerate("ab")}
    for name, tensor in weights.items():
        external_data_helper.set_external_data(tensor, f"{name}.data")
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Identity", ["a"], ["y"])], "then", [], [y], [weights["a"]]
        ),
        "else_branch": helper.make_graph(
            [helper.make_node("Constant", [], ["y"], value=weights["b"])], "else", [], [y]
        ),
    }
    graph = helper.make_graph(
        [helper.make_node("If", ["choose"], ["y"], **branches)], "g",
        [helper.make_tensor_value_info("choose", TensorProto.BOOL, [])], [y],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "branching" / "m.onnx"
    path.parent.mkdir()
    onnx.save(model, path)
    return path


def test_external_data_in_branches_and_constants_is_hashed_and_copied_along(branching, tmp_path):
    assert {p.name for p in branching.parent.iterdir()} == {"m.onnx", "a.data", "b.data"}
    before = model_hash(branching)
    target = tmp_path / "copy" / "model.onnx"
    target.parent.mkdir()
    copy_model(branching, target)
    check_file(target)
    session = cpu_session(target)
    for choose, value in ((True, 0.0), (False, 1.0)):
        assert session.run(None, {"choose": np.array(choose)})[0].tolist() == [value] * 3
    for name in ("a", "b"):
        data = branching.parent / f"{name}.data"
        data.write_bytes(data.read_bytes()[::-1] + b"x")
        assert model_hash(branching) != before
        before = model_hash(branching)
        data.unlink()
        with pytest.raises(UsageError, match=f"needs {name}.data beside it"):
            model_hash(branching)
        data.write_bytes(b"")


def test_missing_or_outside_external_data_is_refused(linear, tmp_path):
    path = linear(external=True)
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(UsageError, match=r"needs m\.onnx\.data beside it"):
        model_hash(path)
    model = onnx.load(linear(external=True), load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../secret"
    onnx.save(model, path)
    with pytest.raises(UsageError, match="secret"):
        copy_model(path, tmp_path / "c.onnx")


def shapeless(path, *, outputs=True):
    """The file without the shapes of its inputs, as some converters write it."""
    found = onnx.load(path)
    for value in (*found.graph.input, *(found.graph.output if outputs else ())):
        if value.name in ("x", "y"):
            value.type.tensor_type.ClearField("shape")
    onnx.save(found, path)
    return path


def test_a_shape_that_the_file_does_not_declare_is_the_scenarios(linear, tmp_path):
    path = shapeless(linear())
    given = (TensorSpec("x", "float32", ("batch", 3)),)
    check_file(path, given)
    inputs, outputs, _ = read_graph(path, given)
    assert [(s.name, s.shape) for s in inputs] == [("x", ("batch", 3))]
    assert [(s.name, s.shape) for s in outputs] == [("y", ("batch", 2))]
    read = read_inputs(path, inputs, outputs, model(inputs=given), (1, 4))
    assert read.outputs[0].shape == ("batch", 2)
    copy_model(path, tmp_path / "copy.onnx", given)
    check_file(tmp_path / "copy.onnx")
    assert read_graph(tmp_path / "copy.onnx")[0] == inputs
    found = cpu_session(tmp_path / "copy.onnx").run(None, {"x": np.ones((5, 3), np.float32)})
    assert found[0].shape == (5, 2)


def test_without_one_either_it_is_asked_for(linear):
    path = shapeless(linear())
    for ask in (check_file, read_graph):
        with pytest.raises(UsageError, match="declares no shape for x") as caught:
            ask(path)
        assert "model: {inputs: [{name: x, shape: [batch, …]}]}" in str(caught.value.fix)


def test_an_output_without_a_shape_has_what_is_inferred(linear):
    path = linear()
    found = onnx.load(path)
    found.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(found, path)
    check_file(path)
    assert read_graph(path)[1][0].shape[1] == 2


def test_a_shape_of_a_scalar_is_a_shape(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )  # fmt: skip
    path = tmp_path / "neg.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    inputs, outputs, _ = read_graph(path, (TensorSpec("x", "float32", ()),))
    assert (inputs[0].shape, outputs[0].shape) == ((), ())
