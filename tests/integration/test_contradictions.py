"""Models that answer otherwise than their config.pbtxt says, which Triton passes on as they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from support import watched_triton

from harness.backends.base import BackendContext, ServerAddress
from harness.backends.registry import open_backend
from harness.models.tensors import PreparedModel
from harness.triton.client.settings import TritonSettings
from harness.triton.server.process import TritonServer

pytestmark = pytest.mark.triton
MODEL = """
import numpy as np
import triton_python_backend_utils as pb
class TritonPythonModel:
    def execute(self, requests):
        xs = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        return [pb.InferenceResponse(answer(x)) for x in xs]
def answer(x):
    made = [lambda: x, lambda: np.concatenate([x, x], 1), lambda: x[..., None], lambda: x.ravel(),
            lambda: x.astype(np.float64), lambda: x.astype(str).astype(object),
            lambda: x[:1].repeat(len(x) + 1, 0), lambda: x[:, :0]]
    which = int(x.flat[0])
    return [pb.Tensor("y", made[which]())] if which < len(made) else []
"""
SAID = [
    None, "float32 (FP32) [2, 4]", "float32 (FP32) [2, 2, 1]", "float32 (FP32) [4]",
    "float64 (FP64) [2, 2]", "string (BYTES) [2, 2]", "float32 (FP32) [3, 2]",
    "float32 (FP32) [2, 0]", "is not in the answer",
]  # fmt: skip
"""What is said of each answer that `MODEL` makes, by the first value of its input."""
Cli = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository = watched_triton.write(tmp_path_factory.mktemp("wrong") / "repository", ["wrong"])
    (repository / "wrong" / "1" / "model.py").write_text(MODEL)
    with watched_triton.served(repository) as found:
        yield found


@pytest.mark.parametrize("io", ["host", "shared_memory"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_each_contradiction_is_named(server: TritonServer, protocol: str, io: str) -> None:
    url = getattr(server, protocol)
    spec = TritonSettings.model_validate(
        {"kind": "triton", "protocol": protocol, "name": "t", "io": io, "server": {"url": url}}
    )
    model = PreparedModel("wrong", {"triton": "wrong"}, "k", (), ())
    context = BackendContext(model, 10.0, ServerAddress(server.http, server.grpc, "wrong"))
    with open_backend(spec, context) as backend:
        backend.load()
        for value, said in enumerate(SAID):
            wrong = backend.contradictions({"x": np.full((2, 2), value, np.float32)})
            assert list(wrong) == ([] if said is None else ["y"]), (value, wrong)
            assert said is None or said in wrong["y"]
            assert said is None or value == 8 or "[2, 2] by the model's config" in wrong["y"]


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_one_answer_is_shown_with_what_is_wrong(
    server: TritonServer, run_cli: Cli, scheme: str
) -> None:
    url = f"{scheme}://{getattr(server, scheme)}"
    done = run_cli("infer", url, "--input", "x=[[1, 2], [3, 4]]")
    assert "warning: output 'y' is float32 (FP32) [2, 4] in the answer" in done.stdout
    found = json.loads(run_cli("infer", url, "--input", "x=[[4, 4]]", "--json").stdout)
    assert found["outputs"]["y"]["shape"] == [1, 2]
    assert "float64 (FP64) [1, 2] in the answer" in found["contradictions"][0]
    fine = json.loads(run_cli("infer", url, "--input", "x=[[0, 4]]", "--json").stdout)
    assert fine["contradictions"] == []


def scenario(server: TritonServer, parity: str) -> str:
    where = f'server: {{url: "{server.http}"}}'
    backends = ", ".join(
        f"{{kind: triton, name: {name}, io: {io}, protocol: http, {where}}}"
        for name, io in (("plain", "host"), ("shared", "shared_memory"))
    )
    return f"""
scenario: wrong
model:
  name: wrong
  source: {{triton: wrong}}
  inputs: [{{name: x, shape: [batch, 2], range: [1, 1.5]}}]
  parity: {{{parity}}}
backends: [{backends}]
load: {{batch_sizes: 2, concurrency: 1}}
measurement: {{rounds: 1, rounds_max: 1, window: 300ms, warmup: 100ms}}
"""


@pytest.mark.parametrize("parity", ["", "on_mismatch: measure", "ignore: [y]"])
def test_a_run_does_not_time_it_in_silence(
    server: TritonServer, run_cli: Cli, tmp_path: Path, parity: str
) -> None:
    (tmp_path / "s.yaml").write_text(scenario(server, parity))
    done = run_cli("run", "s.yaml", "-o", "run", "--no-report", cwd=tmp_path)
    events = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").open()]
    checks = [e for e in events if e["event"] == "parity"]
    failures = [e for e in events if e["event"] == "failure"]
    measured = [e["flags"] for e in events if e["event"] == "measurement"]
    assert len(checks) == 2, done.stderr
    if parity.startswith("ignore"):
        assert {c["status"] for c in checks} == {"unavailable"}
        assert len(measured) == 2
        assert not any("parity" in flags for flags in measured)
        return
    for check in checks:
        assert check["status"] == "disagrees"
        assert check["reference"] == "the model's configuration on the server"
        assert "'y' is float32 (FP32) [2, 4] in the answer" in check["message"]
    if parity:
        assert len(measured) == 2
        assert all("parity" in flags for flags in measured)
    else:
        assert [f["reason"] for f in failures] == ["parity", "parity"]
        assert not measured
