"""What `validate` says of a scenario, and `run` of the same: the first errors agree."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import quantize_dynamic
from support.inline_worker import InlineWorker
from support.small_disk import SmallDisk, mounted
from support.tiny_onnx import tiny_onnx

from harness.errors import HarnessError, UsageError
from harness.results.store import read_run
from harness.run.execute import start
from harness.run.session import preparing
from harness.scenario.reading.loader import load
from harness.system.machine import memory_bytes
from harness.validate import checking
from harness.validate.checking import check


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


X = "inputs: [{name: x, shape: [batch, 3]}]"
TRITON = "{kind: triton, protocol: http, server: {repository: models}}"
FACTORIES = """
import torch
class Fixed(torch.nn.Module):
    def forward(self, x):
        return x.reshape(2, 3)
def linear(width): return torch.nn.Linear(3, width)
def nothing(): return None
def fails(): raise RuntimeError("no weights on this disk")
"""
NET = "source: {onnx: double.onnx}, inputs: [{name: x, dtype: float64, shape: [batch, 3], "
LINEAR = "source: {torch: 'nets:linear', kwargs: {width: 2}}, " + X[:-2] + ", "
TORCH, ORT = "{kind: torch}", "{kind: onnxruntime}"
HALF = "{kind: onnxruntime, precision: fp16}"
BATCHING = "{kind: triton, protocol: http, serve: onnxruntime, dynamic_batching: true}"
REFUSED = [  # model, backend, what the first error says, whether it takes --deep
    ("source: {torch: 'nowhere_at_all:make'}, " + X, TORCH, "can't import nowhere_at_all", False),
    ("source: {torch: 'nets:linaer'}, " + X, TORCH, "did you mean 'linear'", False),
    ("source: {torch: 'nets:linear'}, " + X, TORCH, "missing 1 required positional", False),
    ("source: {torch: 'nets:linear', kwargs: {wide: 2}}, " + X, TORCH, "unexpected keyword", False),
    ("source: {torch: 'torn:make'}, " + X, TORCH, "SyntaxError", False),
    ("source: {torch: 'nets:nothing'}, " + X, TORCH, "expected a torch.nn.Module", True),
    ("source: {torch: 'nets:fails'}, " + X, TORCH, "no weights on this disk", True),
    ("source: {torch: 'nets:Fixed'}, " + X, TORCH, "batch", True),
    ("source: {exported_program: net.onnx}, " + X, TORCH, "net.onnx", True),
    ("source: {onnx: fixed.onnx}", ORT, "batch fixed at 3", False),
    ("source: {onnx: free.onnx}", ORT, "seq_len", False),
    ("source: {onnx: nets.py}", ORT, "nets.py", False),
    ("source: {onnx: net.onnx}", "{kind: onnxruntime, precision: int8}", "precision|int8", False),
    ("source: {triton: nett}, " + X, TRITON, "did you mean 'net'", False),
    ("source: {onnx: int8.onnx}", f"{ORT}, {HALF}", "asks for fp16, and the ONNX file is i", False),
    ("source: {onnx: double.onnx}", f"{ORT}, {HALF}", "fp16, and the ONNX file is fp64", False),
    ("source: {onnx: list.onnx}", ORT, "input xs is sequence, which no request can hold", False),
    ("source: {onnx: fp8.onnx}", ORT, "input x is float8e4m3fn, which no request", False),
    ("source: {onnx: split.onnx}", ORT, "fails at batch 4, on inputs .*Split", True),
    ("batch: {x: 1, y: 0}, source: {onnx: turn.onnx}", BATCHING, "dynamic_batching needs", False),
    (NET + "data: {files: [wide.npy]}}]", ORT, r"has shape \[3, 4\], expected \[3\]", False),
    (NET + "data: {files: [none.npy]}}]", ORT, r"has shape \[0, 3\]", False),
    (NET + "data: {files: [two.npz]}}]", ORT, "has no array 'x'; it has a, b", False),
    (NET + "data: {files: [nets.py]}}]", ORT, "is no .npy, .npz or image file", False),
    (NET + "value: [1, 2]}]", ORT, "2 values do not fit the shape", False),
    (LINEAR + "dtype: int8, range: [0, 900]}]", TORCH, "no int8 lies in range", False),
    (LINEAR + "dtype: int32, value: 1.5}]", TORCH, "value 1.5|value .1.5. does not fit", False),
    ("source: {onnx: net.onnx}, parity: {ignore: [z]}", ORT, "has no output 'z'", False),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenarios")
    (path / "nets.py").write_text(FACTORIES)
    (path / "torn.py").write_text("def make(:\n")
    tiny_onnx(path / "net.onnx")
    np.save(path / "wide.npy", np.zeros((3, 4), np.float32))
    np.save(path / "none.npy", np.zeros((0, 3), np.float32))
    np.savez(path / "two.npz", a=np.zeros(3, np.float32), b=np.zeros(3, np.float32))
    tiny_onnx(path / "fixed.onnx", batch=3)
    tiny_onnx(path / "free.onnx", batch="seq_len")
    (path / "models" / "net").mkdir(parents=True)
    tensor, node, types = helper.make_tensor_value_info, helper.make_node, onnx.TensorProto
    whole, double, eighth = (
        tensor("x", kind, ["batch", 3]) for kind in (types.FLOAT, types.DOUBLE, types.FLOAT8E4M3FN)
    )
    quantize_dynamic(path / "net.onnx", path / "int8.onnx", op_types_to_quantize=["MatMul"])
    save(path / "double.onnx", [node("Neg", ["x"], ["y"])], double, types.DOUBLE)
    listed = helper.make_tensor_sequence_value_info("xs", types.FLOAT, ["n", 3])
    save(path / "list.onnx", [node("ConcatFromSequence", ["xs"], ["y"], axis=0)], listed)
    save(path / "fp8.onnx", [node("Cast", ["x"], ["y"], to=types.FLOAT)], eighth)
    sizes = helper.make_tensor("one", types.INT64, [1], [1])
    split = [node("Constant", [], ["one"], value=sizes), node("Split", ["x", "one"], ["y"])]
    save(path / "split.onnx", split, whole)
    save(path / "turn.onnx", [node("Transpose", ["x"], ["y"], perm=[1, 0])],
         tensor("x", types.FLOAT, [3, "batch"]))  # fmt: skip
    save(path / "plugin.onnx", [node("NMS_TRT", ["x"], ["y"], domain="trt.plugins")], whole)
    return path


def save(
    path: Path, nodes: list[onnx.NodeProto], given: onnx.ValueInfoProto, kind: int = 1
) -> None:
    """A file with one input and the output y of [batch, 3], written as it is."""
    y = helper.make_tensor_value_info("y", kind, ["batch", 3])
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("trt.plugins", 1)]
    graph = helper.make_graph(nodes, "g", [given], [y])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def write(folder: Path, model: str, backend: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(
        f"scenario: s\nmodel: {{name: net, {model}}}\nbackends: [{backend}]\n"
        "load: {batch_sizes: [1, 4], concurrency: 1}\nmeasurement: {rounds: 1, rounds_max: 1}\n"
    )
    return path


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that prepares is in this process: it imports torch once for all rows."""
    monkeypatch.setattr(preparing, "WorkerProcess", lambda *_, **__: InlineWorker())


def first_error(path: Path, *, deep: bool) -> str:
    """What `harness validate` says; empty where it says that all is fine."""
    try:
        check(load(path), deep=deep)
    except HarnessError as error:
        return error.message
    return ""


def runs_first_error(path: Path, output: Path) -> str:
    """The same of `harness run`: what ends it, or fails its first point."""
    try:
        start(load(path), output, contextlib.nullcontext(lambda _: None))
    except HarnessError as error:
        return error.message
    return min(read_run(output).failures, key=lambda row: row.round).message


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize(("model", "backend", "words", "deep"), REFUSED)
def test_nothing_is_fine_that_a_run_refuses_at_once(
    folder: Path, tmp_path: Path, model: str, backend: str, words: str, deep: bool
) -> None:
    path = write(folder, model, backend)
    said = first_error(path, deep=deep)
    assert re.search(words, said), said
    if not deep:
        assert first_error(path, deep=True) == said
    assert runs_first_error(path, tmp_path / "run") == said


def test_a_type_that_triton_has_not_is_no_fine_model_of_a_server(folder: Path) -> None:
    split = onnx.helper.make_node("SplitToSequence", ["x"], ["parts"], axis=1)
    graph = onnx.helper.make_graph(
        [split], "g", [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 4])],
        [onnx.helper.make_tensor_sequence_value_info("parts", onnx.TensorProto.FLOAT, None)],
    )  # fmt: skip
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "q.onnx")
    served = "{kind: triton, protocol: http, serve: onnxruntime}"
    said = first_error(write(folder, "source: {onnx: q.onnx}", f"{ORT}, {served}"), deep=False)
    assert said == "'parts' is sequence, a type that Triton doesn't have"
    assert not first_error(write(folder, "source: {onnx: q.onnx}", ORT), deep=False)


def test_what_onnxruntime_refuses_is_no_fine_model_of_it(folder: Path, tmp_path: Path) -> None:
    """An operator of a TensorRT plugin; paths differ, the reason and the way out don't."""
    path = write(folder, "source: {onnx: plugin.onnx}", ORT)
    with pytest.raises(UsageError, match=r"trt\.plugins:NMS_TRT.* is not a registered") as caught:
        check(load(path))
    assert "operators, types and an opset that this ONNX Runtime has" in str(caught.value.fix)
    assert "trt.plugins:NMS_TRT" in runs_first_error(path, tmp_path / "run")
    (failure, *_) = read_run(tmp_path / "run").failures
    assert failure.fix == caught.value.fix
    gpu = "{kind: onnxruntime, provider: CUDAExecutionProvider}"
    assert not first_error(write(folder, "source: {onnx: plugin.onnx}", gpu), deep=False)


def test_strings_for_an_embedded_server_that_cannot_read_them_are_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = helper.make_tensor_value_info("x", onnx.TensorProto.STRING, ["batch", 3])
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    save(folder / "words.onnx", nodes, words, onnx.TensorProto.STRING)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.4.0")
    served = "{kind: triton, protocol: http, serve: onnxruntime}"
    path = write(folder, "source: {onnx: words.onnx}", f"{ORT}, {served}")
    (note,) = (n for n in check(load(path)) if "strings" in n)
    assert note.startswith("not on this machine: the embedded server's Python backend can't take")
    assert not [
        n for n in check(load(write(folder, "source: {onnx: words.onnx}", ORT))) if "str" in n
    ]


def test_a_package_that_is_not_installed_is_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "package_versions", lambda names: {"onnxruntime-gpu": "1"})
    path = write(folder, LINEAR.removesuffix(", ") + "}]", f"{ORT}, {TORCH}")
    (note,) = (n for n in check(load(path)) if "package" in n)
    assert note.startswith("not on this machine: a Python package for torch-cpu-fp32: torch")


def test_a_cache_that_takes_nothing_is_a_note_unless_the_model_is_in_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, LINEAR.removesuffix(", ") + "}]", TORCH)
    for spoil, words in (
        (SmallDisk.fill, "No space left on device"), (SmallDisk.read_only, "Read-only file system")
    ):  # fmt: skip
        with mounted(tmp_path / spoil.__name__) as disk:
            monkeypatch.setenv("XDG_CACHE_HOME", str(disk.path))
            assert check(load(path)) == []
            spoil(disk)
            lacks = f"not on this machine: a cache that can be written to: {disk.path}: {words}"
            assert check(load(path)) == [lacks]
        with mounted(tmp_path / f"{spoil.__name__}-made") as disk:
            monkeypatch.setenv("XDG_CACHE_HOME", str(disk.path))
            (disk.path / "inference-harness" / "net-0123" / "state_dict").mkdir(parents=True)
            spoil(disk)
            assert check(load(path)) == []


def test_a_large_file_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder, "source: {onnx: plugin.onnx}", ORT)
    monkeypatch.setattr(checking, "LARGEST", 10)
    assert not first_error(path, deep=False)


def test_plain_validate_imports_nothing(folder: Path) -> None:
    path = write(folder, "source: {torch: 'nets:linear', kwargs: {width: 2}}, " + X, TORCH)
    code = (
        "import sys, pathlib\nfrom harness.validate.checking import check\n"
        "from harness.scenario.reading.loader import load\n"
        f"check(load(pathlib.Path({str(path)!r})))\n"
        "print('torch' in sys.modules, 'nets' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def of_shape(shape: str) -> str:
    return f"source: {{torch: 'nets:linear', kwargs: {{width: 2}}}}, inputs: [{{name: x, shape: {shape}}}]"  # noqa: E501


@pytest.mark.parametrize("shape", ["[batch, 1000000, 1000000]", "[batch, 1024, ROOM]"])
def test_inputs_that_no_memory_holds_are_not_fine(folder: Path, shape: str) -> None:
    """Of one request, or of all eight that are made at a time, each of a quarter of the memory."""
    shape = shape.replace("ROOM", str(memory_bytes() // 65536))
    said = first_error(write(folder, of_shape(shape), TORCH), deep=False)
    assert re.search(r"of batch 4 are [\d,]+ bytes, and of 8 at a time [\d,]+; the memory", said)
    assert f"{memory_bytes():,} bytes" in said


@pytest.mark.usefixtures("inline")
def test_a_run_refuses_them_before_it_makes_them(folder: Path, tmp_path: Path) -> None:
    path = write(folder, of_shape("[batch, 1000000, 1000000]"), TORCH)
    said = runs_first_error(path, tmp_path / "run")
    assert re.search("4,000,000,000,000 bytes.*the memory here", said)


@pytest.mark.usefixtures("inline")
def test_what_a_run_takes_is_fine(folder: Path) -> None:
    good = "source: {torch: 'nets:linear', kwargs: {width: 2}}, " + X
    for model, backend in ((good, TORCH), ("source: {onnx: net.onnx}", ORT)):
        path = write(folder, model, backend)
        assert [first_error(path, deep=deep) for deep in (False, True)] == ["", ""]


@pytest.mark.parametrize(
    "keys",
    [
        'headers: {Authorization: "Bearer ${NO_SUCH_TOKEN}"}',
        'telemetry: {url: "h:2", token: "${NO_SUCH_TOKEN}"}',
    ],
)
def test_what_this_machine_lacks_is_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch, keys: str
) -> None:
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    server = f'{{url: "h:1", {keys}}}'
    backend = f"{{kind: triton, protocol: http, server: {server}}}"
    notes = check(load(write(folder, "source: {triton: net}, " + X, backend)))
    (note,) = (n for n in notes if n.startswith("not on this machine: "))
    assert "NO_SUCH_TOKEN" in note
    now = [n.partition(" can't be reached")[0] for n in notes if n != note]
    asked = ["the telemetry at h:2", "Triton at h:1"] if "telemetry" in keys else []
    assert now == [f"not at this moment: {what}" for what in asked]


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("{kind: torch, device: cuda}", "a GPU for torch-cuda-fp32 (no driver)"),
        ("{kind: torch, environment: old}", "environment old: there is no /no/such/python"),
        (
            "{kind: torch, environment: new}",
            "the scenario needs the environment variable NO_SUCH_TOKEN, which is not set",
        ),
    ],
)
def test_a_gpu_or_an_interpreter_that_is_not_here_is_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backend: str, words: str
) -> None:
    monkeypatch.setattr(checking, "probe_gpus", lambda: ([], "no driver"))
    path = write(folder, "source: {torch: 'nets:linear', kwargs: {width: 2}}, " + X, backend)
    made = "new: {packages: [torch==2.9.0], index: 'https://me:${NO_SUCH_TOKEN}@host/simple'}"
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    one = made if "new" in backend else "old: {python: /no/such/python}"
    more = f"\nenvironments: {{{one}}}\n" if "environment" in backend else ""
    path.write_text(path.read_text() + more)
    assert check(load(path)) == [f"not on this machine: {words}"]
    path = write(folder, "source: {torch: 'nets:linear', kwargs: {width: 2}}, " + X, TORCH)
    assert check(load(path)) == []
