import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

ort = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from harness.backends.base import BackendContext, run_once  # noqa: E402
from harness.backends.onnxruntime.backend import (  # noqa: E402
    OnnxRuntimeBackend,
    _engines,
    _providers,
    assert_provider,
)
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings  # noqa: E402
from harness.errors import BackendError, DeviceError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.prepare import prepare  # noqa: E402
from harness.models.reference import ReferenceOutputs, write_references  # noqa: E402
from harness.models.tensors import PreparedModel, TensorSpec  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec import model as schema  # noqa: E402


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache):
    """ids int64 [batch, 4] gathered from a table, times scale float [batch, 1]; also the sum."""
    table = np.random.default_rng(0).standard_normal((11, 3)).astype(np.float32)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"]),
         helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
         helper.make_node("Mul", ["mean", "scale"], ["/out/Mul"]),
         helper.make_node("ReduceSum", ["ids"], ["total"], keepdims=0)],
        "g",
        [info("ids", TensorProto.INT64, ["n", 4]), info("scale", TensorProto.FLOAT, ["n", 1])],
        [info("/out/Mul", TensorProto.FLOAT, ["n", 3]), info("total", TensorProto.INT64, [])],
        [numpy_helper.from_array(table, "table")],
    )  # fmt: skip
    path = cache / "source.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    spec = schema.ModelSpec.model_validate({"name": "m", "source": {"onnx": str(path)}})
    found, rows = prepare(spec, ["onnx"], [1, 4], cache, base=cache)
    assert [(r.format, r.details["opset"]) for r in rows] == [("onnx", 17)]
    return found


def backend(model, **settings):
    data = {
        "kind": "onnxruntime",
        "name": "o",
        "provider": "CPUExecutionProvider",
        "device": None,
        "precision": "fp32",
        "threads": None,
        "io": "host",
        **settings,
    }
    spec = OnnxRuntimeSettings.model_construct(**data)  # fmt: skip
    return OnnxRuntimeBackend(spec, BackendContext(model))


def test_inputs_come_from_the_file_and_outputs_agree_with_the_unoptimised_graph(model, cache):
    folder = write_references(model, schema.Parity(), [1, 4], cache)
    assert "without graph optimisations" in ReferenceOutputs.open(folder).words
    with backend(model) as b:
        cost = b.load()
        rows = check(b, model, b.spec, schema.Parity(), [1, 4], folder)
        assert (
            [s.name for s in b.signature.inputs]
            == ["ids", "scale"]
            == [s.name for s in model.inputs]
        )
    assert [r.status for r in rows] == ["agrees", "agrees"]
    assert rows[1].top1_agreement == 1.0
    assert cost.bytes_on_disk == Path(model.files["onnx"]).stat().st_size
    assert cost.details["providers"] == ["CPUExecutionProvider"]


def test_strings_go_in_and_labels_with_a_zipmap_come_out(cache):
    """A scikit-learn classifier, and strings that pass through."""
    info, labels = helper.make_tensor_value_info, ["cat", "dog"]
    graph = helper.make_graph(
        [helper.make_node("LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml",
                          classlabels_strings=labels, coefficients=[1.0, 0.0, 0.0, 1.0],
                          intercepts=[0.0, 0.0], post_transform="SOFTMAX"),
         helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml",
                          classlabels_strings=labels),
         helper.make_node("Identity", ["words"], ["said"])],
        "g",
        [info("x", TensorProto.FLOAT, ["n", 2]), info("words", TensorProto.STRING, ["n", 1])],
        [info("label", TensorProto.STRING, ["n"]),
         helper.make_value_info("probabilities", helper.make_sequence_type_proto(
             helper.make_map_type_proto(
                 TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])))),
         info("said", TensorProto.STRING, ["n", 1])],
    )  # fmt: skip
    path = cache / "classifier.onnx"
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    words = {"name": "words", "dtype": "string", "shape": ["batch", 1], "data": {"values": ["a"]}}
    spec = schema.ModelSpec.model_validate({
        "name": "c", "source": {"onnx": str(path)},
        "inputs": [{"name": "x", "shape": ["batch", 2]}, words],
    })  # fmt: skip
    model, _ = prepare(spec, ["onnx"], [1, 3], cache, base=cache)
    assert [(o.name, o.dtype) for o in model.outputs] == [
        ("label", "string"), ("probabilities", "sequence"), ("said", "string"),
    ]  # fmt: skip
    given = make_inputs(model, 3, 0)
    with backend(model) as found:
        found.load()
        outputs = run_once(found, given)
        parity = schema.Parity(inputs=2)
        folder = write_references(model, parity, [3], cache)
        assert [r.status for r in check(found, model, found.spec, parity, [3], folder)] == [
            "agrees"
        ]
    highest = given["x"].argmax(1)
    assert outputs["label"].tolist() == [labels[i] for i in highest]
    assert outputs["probabilities"].argmax(1).tolist() == highest.tolist()
    assert outputs["probabilities_keys"].tolist() == labels
    assert outputs["said"].tolist() == [["a"]] * 3


def test_the_size_is_that_of_the_weights_too_whatever_their_file_is_called(tmp_path):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [info("x", TensorProto.FLOAT, ["n", 3])], [info("y", TensorProto.FLOAT, ["n", 200])],
        [numpy_helper.from_array(np.ones((3, 200), np.float32), "w")],
    )  # fmt: skip
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "a.onnx",
        save_as_external_data=True, location="w.bin", size_threshold=0,
    )  # fmt: skip
    source = {"name": "m", "source": {"onnx": str(tmp_path / "a.onnx")}}
    spec = schema.ModelSpec.model_validate(source)
    found, rows = prepare(spec, ["onnx"], [1], tmp_path / "cache", base=tmp_path)
    with backend(found) as b:
        assert b.load().bytes_on_disk == rows[0].bytes > 3 * 200 * 4


def test_threads_are_set_and_device_io_is_host_io_on_the_cpu(model):
    with backend(model, threads=1, io="device") as b:
        details = b.load().details
        assert (details["threads"], details["io"]) == (1, "host")
        assert run_once(b, make_inputs(model, 2, 0))["/out/Mul"].shape == (2, 3)


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_EXTENDED"])
def test_the_graph_is_rewritten_as_far_as_asked(model, level):
    with backend(model, graph_optimization_level=level) as b:
        b.load()
        assert b.session.get_session_options().graph_optimization_level.name == level


def test_callers_share_the_session_and_get_their_own_answers(model):
    with backend(model) as b:
        b.load()
        requests = [b.prepare(make_inputs(model, 2, v)) for v in range(4)]
        expected = [run_once(b, make_inputs(model, 2, v))["/out/Mul"] for v in range(4)]
        found = {}

        def call(index):
            with b.caller() as caller:
                for _ in range(50):
                    reply = caller.infer(requests[index])
                found[index] = caller.outputs(reply)["/out/Mul"]

        threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index in range(4):
        np.testing.assert_array_equal(found[index], expected[index])


def test_a_missing_input_and_a_wrong_shape_are_backend_errors(model):
    with backend(model) as b:
        b.load()
        with pytest.raises(BackendError, match="wants an input 'ids', which has no data"):
            b.prepare({"scale": np.zeros((1, 1))})
        inputs = make_inputs(model, 2, 0) | {"ids": np.zeros((2, 9), np.int64)}
        with b.caller() as caller, pytest.raises(BackendError, match="InvalidArgument"):
            caller.infer(b.prepare(inputs))


def test_floats_are_cast_to_what_the_session_wants(model):
    with backend(model) as b:
        b.load()
        inputs = make_inputs(model, 2, 0)
        doubled = inputs | {"scale": inputs["scale"].astype(np.float64)}
        np.testing.assert_array_equal(
            run_once(b, inputs)["/out/Mul"], run_once(b, doubled)["/out/Mul"]
        )


def test_the_arena_of_a_large_batch_is_given_back(tmp_path):
    """64 MiB an activation: three are live at once, and ONNX Runtime's arena keeps them."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Exp", ["x"], ["a"]), helper.make_node("Sin", ["x"], ["b"]),
         helper.make_node("MatMul", ["a", "w"], ["c"]), helper.make_node("Add", ["b", "c"], ["d"]),
         helper.make_node("ReduceMean", ["d"], ["y"], axes=[1], keepdims=1)],
        "g", [info("x", TensorProto.FLOAT, ["n", 1024])], [info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.eye(1024, dtype=np.float32), "w")],
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    model = PreparedModel(
        "m", {"onnx": str(path)}, "k", (TensorSpec("x", "float32", ("batch", 1024)),), (),
        {"onnx": str(path)},
    )  # fmt: skip
    own = psutil.Process()

    def resident(batch):
        run_once(b, {"x": np.zeros((batch, 1024), np.float32)})
        return own.memory_info().rss / 2**20

    with backend(model) as b:
        b.load()
        small = resident(1)
        kept = (resident(16384), resident(1))[1]
        b.release()
        assert kept > small + 100
        assert resident(1) < small + 30


def test_a_session_that_cannot_be_made_again_is_tried_again_at_the_next_point(model):
    with backend(model) as b:
        b.load()
        create, b._open = b._open, lambda: 1 / 0
        with pytest.raises(BackendError, match="creating the session"):
            b.release()
        b._open = create
        b.release()
        assert run_once(b, make_inputs(model, 2, 0))["/out/Mul"].shape == (2, 3)


def test_a_session_that_fell_back_is_refused(model):
    session = ort.InferenceSession(model.files["onnx"], providers=["CPUExecutionProvider"])
    assert_provider(session, "CPUExecutionProvider")
    with pytest.raises(DeviceError, match="fell back to CPUExecutionProvider"):
        assert_provider(session, "CUDAExecutionProvider")


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(), reason="this build has CUDA"
)
def test_a_provider_that_this_build_lacks_is_a_device_error_with_a_fix(model):
    with pytest.raises(DeviceError, match="CUDAExecutionProvider is not in this build") as caught:
        backend(model, provider="CUDAExecutionProvider").load()
    assert "onnxruntime-gpu" in caught.value.fix


def test_a_model_that_could_not_be_exported_says_why():
    why = {"onnx": ("raised", "no such operator", None)}
    model = PreparedModel("m", {"torch": "a:b"}, "k", (), (), failures=why)
    with pytest.raises(BackendError, match="m has no onnx file: no such operator"):
        backend(model).load()


def test_a_damaged_file_and_use_before_load_are_backend_errors(model, tmp_path):
    from dataclasses import replace

    (tmp_path / "model.onnx").write_bytes(b"junk")
    broken = replace(model, files={"onnx": str(tmp_path / "model.onnx")})
    with pytest.raises(BackendError, match="creating the session: "):
        backend(broken).load()
    with pytest.raises(BackendError, match="not loaded"):
        backend(model).caller()


# -------------------------------- options of the GPU's providers; what they do is tested on a GPU

CUDA, TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"


def options(provider: str, cache: Path | None = None, **settings: object) -> list[tuple[str, dict]]:
    spec = OnnxRuntimeSettings.model_validate(
        {"kind": "onnxruntime", "provider": provider, **settings}
    )
    return _providers(spec, 1, cache)


def test_the_cpu_has_none() -> None:
    assert options("CPUExecutionProvider") == [("CPUExecutionProvider", {})]


def test_what_is_not_written_is_left_to_onnxruntime_but_tf32_is_said() -> None:
    assert options(CUDA) == [(CUDA, {"device_id": "1", "use_tf32": "0"})]
    assert options(CUDA, precision="tf32")[0][1]["use_tf32"] == "1"


def test_arena_search_and_graphs() -> None:
    ((_, found),) = options(
        CUDA, gpu_memory_limit="2GiB", arena_extend_strategy="kSameAsRequested",
        cudnn_conv_algo_search="HEURISTIC", cuda_graphs=True, io="device",
    )  # fmt: skip
    assert found == {
        "device_id": "1", "use_tf32": "0", "gpu_mem_limit": str(2**31),
        "arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC",
        "enable_cuda_graph": "1",
    }  # fmt: skip


def test_tensorrt_keeps_its_engines_and_has_cuda_behind_it(tmp_path: Path) -> None:
    (first, found), (second, cuda) = options(TENSORRT, tmp_path, cuda_graphs=True, io="device")
    assert (first, second) == (TENSORRT, CUDA)
    assert found["trt_engine_cache_path"] == str(tmp_path / "fp32")
    assert Path(found["trt_engine_cache_path"]).is_dir()
    assert found["trt_cuda_graph_enable"] == "1"
    assert "enable_cuda_graph" not in cuda  # one of the two captures


def test_models_with_other_weights_do_not_share_engines(tmp_path: Path) -> None:
    models = [PreparedModel(name, {}, key, (), ()) for name in "ab" for key in "kl"]
    folders = {_engines(BackendContext(model, cache=tmp_path)) for model in models}
    assert len(folders) == 4
    assert {folder.parent for folder in folders if folder} == {tmp_path / "ort-tensorrt"}
    assert _engines(BackendContext(models[0])) is None


@pytest.mark.parametrize("kind", ["BFLOAT16", "FLOAT8E4M3FN", "INT4"])
def test_an_output_that_onnxruntime_gives_to_no_python_is_named(tmp_path, kind):
    """The run said to compare the inputs with what the model takes; of a float8 it gives bits."""
    info = helper.make_tensor_value_info
    code = TensorProto.DataType.Value(kind)
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["odd"], to=code)], "g",
        [info("x", TensorProto.FLOAT, ["batch", 3])], [info("odd", code, ["batch", 3])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(made, tmp_path / "odd.onnx")
    spec = schema.ModelSpec.model_validate({"name": "m", "source": {"onnx": "odd.onnx"}})
    odd, _ = prepare(spec, ["onnx"], [1], tmp_path / "cache", base=tmp_path)
    why = f"'odd' is {odd.outputs[0].dtype}, which ONNX Runtime's Python has not"
    with backend(odd) as opened, pytest.raises(BackendError) as caught:
        opened.load()
    assert (caught.value.message, caught.value.fix) == (
        why, "cast it to or from float32 in the file"
    )  # fmt: skip
    folder = write_references(odd, schema.Parity(), [1], tmp_path)
    assert ReferenceOutputs.open(folder).unavailable == why
