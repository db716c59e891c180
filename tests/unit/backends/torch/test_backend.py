import threading
from pathlib import Path

import numpy as np
import pytest
from support.paths import DATA

torch = pytest.importorskip("torch")

from harness.backends.base import BackendContext, run_once  # noqa: E402
from harness.backends.torch.backend import TorchBackend  # noqa: E402
from harness.backends.torch.settings import TorchSettings  # noqa: E402
from harness.errors import BackendError, DeviceError, OutOfMemoryError, UsageError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402
from harness.models.prepare import prepare  # noqa: E402
from harness.models.reference import write_references  # noqa: E402
from harness.models.sources import open_model  # noqa: E402
from harness.run.worker.parity import check  # noqa: E402
from harness.scenario.spec import model as schema  # noqa: E402

MODELS = DATA / "models"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(cache):
    spec = schema.ModelSpec.model_validate({
        "name": "m", "source": {"torch": "sample_models:mlp"},
        "inputs": [{"name": "x", "shape": ["batch", 8]}],
    })  # fmt: skip
    return prepare(spec, ["torch"], [1, 4], cache, base=MODELS)[0]


def backend(model, **settings):
    settings = {"kind": "torch", "name": "t", "device": "cpu", "precision": "fp32", **settings}
    return TorchBackend(TorchSettings.model_construct(**{**DEFAULTS, **settings}),
                        BackendContext(model))  # fmt: skip


DEFAULTS = {"io": "host", "threads": None}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_every_precision_agrees_and_is_really_applied(model, cache, precision):
    folder = write_references(model, schema.Parity(), [1, 4], cache)
    with backend(model, precision=precision) as b:
        cost = b.load()
        rows = check(b, model, b.spec, schema.Parity(), [1, 4], folder)
        dtypes = {p.dtype for p in b.model.module.parameters()}
    assert [r.status for r in rows] == ["agrees", "agrees"]
    assert (rows[0].max_abs_error == 0) == (precision == "fp32")
    names = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
    assert dtypes == {getattr(torch, names[precision])}
    assert cost.bytes_on_disk == Path(model.files["state_dict"]).stat().st_size
    assert cost.details["torch"] == torch.__version__


def test_signature_and_outputs_are_the_prepared_models(model):
    with backend(model) as b:
        b.load()
        outputs = run_once(b, make_inputs(model, 4, 0))
        assert [s.name for s in b.signature.outputs] == list(outputs) == ["output"]
        assert outputs["output"].shape == (4, 5)
        assert b.memory() == b.statistics() == {}


def test_requests_are_reusable_by_concurrent_callers(model):
    with backend(model) as b:
        b.load()
        requests = [b.prepare(make_inputs(model, 2, v)) for v in range(4)]
        expected = [run_once(b, make_inputs(model, 2, v))["output"] for v in range(4)]
        found = {}

        def call(index):
            with b.caller() as caller:
                for _ in range(20):
                    reply = caller.infer(requests[index])
                found[index] = caller.outputs(reply)["output"]

        threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for index in range(4):
        np.testing.assert_array_equal(found[index], expected[index])


@pytest.mark.parametrize("factory", ["restless", "mlp"])
def test_forward_gets_its_input_as_it_was_made(tmp_path, factory):
    """Also when it doubles it in place; where it leaves it alone, no copies are made."""
    spec = schema.ModelSpec.model_validate({
        "name": "m", "source": {"torch": f"sample_models:{factory}"},
        "inputs": [{"name": "x", "shape": ["batch", 8]}],
    })  # fmt: skip
    made = prepare(spec, ["torch"], [2], tmp_path, base=MODELS)[0]
    with backend(made) as b:
        b.load()
        inputs = make_inputs(made, 2, 0)
        request = b.prepare(inputs)
        expected = open_model(made)(make_inputs(made, 2, 0))[0].numpy()
        with b.caller() as caller:
            for _ in range(5):
                found = next(iter(caller.outputs(caller.infer(request)).values()))
                np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(inputs["x"], make_inputs(made, 2, 0)["x"])
        assert b._in_place.found is (factory == "restless")


def test_a_callers_thread_has_the_number_of_threads_that_was_set(model):
    before = torch.get_num_threads()
    try:
        with backend(model, threads=1) as b:
            assert b.load().details["threads"] == 1
            seen = []

            def call():
                with b.caller() as caller:
                    caller.infer(b.prepare(make_inputs(model, 1, 0)))
                    seen.append(torch.get_num_threads())

            thread = threading.Thread(target=call)
            thread.start()
            thread.join()
        assert seen == [1]
    finally:
        torch.set_num_threads(before)


def test_a_missing_input_and_a_wrong_shape_are_backend_errors(model):
    with backend(model) as b:
        b.load()
        with pytest.raises(BackendError, match="input 'x' is missing"):
            b.prepare({})
        request = b.prepare({"x": np.zeros((2, 9), np.float32)})
        with b.caller() as caller, pytest.raises(BackendError, match="RuntimeError: mat1 and mat2"):
            caller.infer(request)


def test_the_cpu_allocators_refusal_is_out_of_memory(model):
    class Greedy(torch.nn.Module):
        def forward(self, x):
            return torch.empty(2**56, dtype=torch.uint8)

    with backend(model) as b:
        b.load()
        b.model.module[0] = Greedy()
        request = b.prepare(make_inputs(model, 1, 0))
        with b.caller() as caller, pytest.raises(OutOfMemoryError):
            caller.infer(request)


def test_before_load_it_says_so(model):
    with pytest.raises(BackendError, match="not loaded"):
        backend(model).prepare({})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_without_a_gpu_cuda_is_a_device_error_with_a_fix(model, device):
    with pytest.raises(DeviceError, match=f"device {device}: PyTorch sees no GPU") as caught:
        backend(model, device=device).load()
    assert "nvidia-smi" in caught.value.fix


def test_a_compiled_module_that_has_no_length_is_called(model):
    class Compiled:  # as torch.compile's wrapper in some versions
        def __len__(self):
            raise TypeError("ResNet does not support len()")

        def __call__(self, x):
            return x.sum(1)

    with backend(model) as b:
        b.load()
        b._forward = Compiled()
        x = np.ones((2, 8), np.float32)
        assert run_once(b, {"x": x})["output"].tolist() == [8.0, 8.0]


def test_weights_are_cast_before_they_are_moved(model, monkeypatch):
    moves = []
    real = torch.nn.Module.to
    monkeypatch.setattr(
        torch.nn.Module, "to", lambda self, *a, **k: (moves.append((a, k)), real(self, *a, **k))[1]
    )
    found = open_model(model, "cpu", torch.float16)
    assert moves == [((), {"dtype": torch.float16}), (("cpu",), {})]
    assert {p.dtype for p in found.module.parameters()} == {torch.float16}


def test_after_release_it_answers_as_before(model):
    with backend(model) as b:
        b.load()
        before = run_once(b, make_inputs(model, 4, 0))["output"]
        b.release()
        np.testing.assert_array_equal(run_once(b, make_inputs(model, 4, 0))["output"], before)


def test_weights_that_vanished_are_named(model, tmp_path):
    from dataclasses import replace

    gone = replace(model, files={"state_dict": str(tmp_path / "gone.pt")})
    with pytest.raises(UsageError, match="no such file"):
        backend(gone).load()


def test_channels_last_is_the_layout_of_weights_and_images_and_changes_no_answer(cache):
    spec = schema.ModelSpec.model_validate({
        "name": "c", "source": {"torch": "sample_models:small_conv"},
        "inputs": [{"name": "x", "shape": ["batch", 3, 8, 8]}],
    })  # fmt: skip
    model = prepare(spec, ["torch"], [2], cache, base=MODELS)[0]
    inputs = make_inputs(model, 2, 0)
    answers = []
    for last in (False, True):
        with backend(model, channels_last=last) as b:
            assert b.load().details["channels_last"] is last
            weight = next(p for p in b.model.module.parameters() if p.dim() == 4)
            (image,) = b.prepare(inputs).args
            for tensor in (weight, image):
                assert tensor.is_contiguous(memory_format=torch.channels_last) is last
            answers.append(run_once(b, inputs))
    assert answers[0].keys() == answers[1].keys()
    for name, plain in answers[0].items():
        assert np.allclose(plain, answers[1][name], atol=1e-5)
