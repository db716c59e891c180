"""ResNet-50 prepared once, and a check of a backend against the fp32 reference on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/support

BATCHES = (1, 4)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def resnet(cache: Path) -> tuple[Any, Path]:
    """(PreparedModel in every format, folder of the reference outputs)."""
    pytest.importorskip("onnx")
    from harness.models.prepare import FORMATS, prepare
    from harness.models.reference import write_references
    from harness.scenario.spec.model import ModelSpec, Parity

    spec = ModelSpec.model_validate({
        "name": "resnet50", "source": {"torch": "harness.models.resnet:resnet50", "seed": 0},
        "inputs": [{"name": "input", "shape": ["batch", 3, 224, 224]}],
    })  # fmt: skip
    model, _ = prepare(spec, FORMATS, BATCHES, cache, base=Path.cwd())
    assert model.failures == {}
    return model, write_references(model, Parity(), BATCHES, cache)


@pytest.fixture
def opened(resnet: tuple[Any, Path], cache: Path) -> Iterator[Callable[..., Any]]:
    """Load the backend that the settings describe; closed when the test ends."""
    from contextlib import ExitStack

    from harness.backends.base import BackendContext
    from harness.backends.registry import open_backend, parse_spec

    with ExitStack() as stack:

        def load(model: Any = None, **settings: Any) -> tuple[Any, Any]:
            context = BackendContext(model or resnet[0], cache=cache, batch_sizes=BATCHES)
            backend = open_backend(parse_spec(settings), context)
            stack.enter_context(backend)
            return backend, backend.load()

        yield load


@pytest.fixture
def agrees(resnet: tuple[Any, Path]) -> Callable[[Any], None]:
    """Assert that a loaded backend gives the reference's outputs, within its precision."""
    from harness.run.worker.parity import check
    from harness.scenario.spec.model import Parity

    def run(backend: Any) -> None:
        model, reference = resnet
        for row in check(backend, model, backend.spec, Parity(), BATCHES, reference):
            assert row.status == "agrees", (row.message, row.max_abs_error, row.tolerance)
            print(f"{backend.spec.default_name} b{row.batch_size}: max {row.max_abs_error:.2e}")

    return run
