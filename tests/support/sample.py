"""The small models of tests/data, prepared."""

from support.paths import DATA

from harness.backends.base import BackendContext
from harness.backends.torch.backend import TorchBackend
from harness.backends.torch.settings import TorchSettings
from harness.models.prepare import prepare
from harness.scenario.spec import scenario as schema

MODELS = DATA / "models"


VECTOR = {"name": "x", "shape": ["batch", 8]}


def spec(factory="mlp", inputs=(VECTOR,), dynamic=None, **source):
    source = source or {"torch": f"sample_models:{factory}"}
    return schema.ModelSpec.model_validate(
        {"name": "m", "source": source, "inputs": list(inputs), "dynamic": dynamic or {}}
    )


def ready(model_spec, cache, formats=("torch",), batches=(1, 4), base=MODELS):
    return prepare(model_spec, formats, batches, cache, base=base)


def torch_backend(model, **settings):
    settings = {"kind": "torch", "name": "t", "device": "cpu", **settings}
    return TorchBackend(TorchSettings(**settings), BackendContext(model))
