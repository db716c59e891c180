import sys

import numpy as np
import pytest
from support.paths import DATA

torch = pytest.importorskip("torch")

from harness.errors import DeviceError, MissingPackageError, OutOfMemoryError, UsageError  # noqa: E402
from harness.models.binding import bind  # noqa: E402
from harness.models.factory import build, code_hash, factory_of  # noqa: E402
from harness.models.weights import weights_hash  # noqa: E402

MODELS = str(DATA / "models")


def source(name, base=MODELS, **more):
    return {"torch": name, "kwargs": {}, "seed": 0, "weights": None, "base": base, **more}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write modules beside a scenario; they are forgotten after the test."""
    before = set(sys.modules)

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        for name in set(sys.modules) - before:
            sys.modules.pop(name)
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            sys.modules.pop(name)


def test_the_seed_decides_the_weights_and_global_state_is_left_alone():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one, same = (weights_hash(build(source("sample_models:mlp"))) for _ in range(2))
    other = weights_hash(build(source("sample_models:mlp", seed=1)))
    assert one == same != other
    assert torch.equal(torch.random.get_rng_state(), state)


def test_kwargs_reach_the_factory_and_the_module_is_ready_to_infer():
    module = build(source("sample_models:mlp", kwargs={"classes": 7}))
    assert module(torch.zeros(2, 8)).shape == (2, 7)
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_half_precision_weights_become_fp32():
    module = build(source("sample_models:half_precision"))
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_a_torchscript_module_is_one_too(own):
    """`torch.jit.load` in a factory: it has no signature and no `requires_grad_` of its own."""
    base = str(own(own_scripts="""
import torch
def make():
    return torch.jit.script(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()))
"""))  # fmt: skip
    module = build(source("own_scripts:make", base))
    assert not module.training and not any(p.requires_grad for p in module.parameters())
    model = bind(module, ["x"])
    assert model({"x": np.ones((4, 3), np.float32)})[0].shape == (4, 2)


@pytest.mark.parametrize("made", ["LazyLinear(4)", "Linear(3, 4).to('meta')"])
def test_weights_that_have_no_values_are_named(own, made):
    text = f"from torch.nn import *\ndef make(): return Sequential({made})\n"
    base = str(own(own_empty=text))
    with pytest.raises(UsageError, match=r"own_empty:make returned a module whose '0\.weight'"):
        build(source("own_empty:make", base))


def test_modules_colocated_the_scenario_are_found_but_the_path_is_not_changed(own):
    base = str(own(own_model="import torch\ndef make(): return torch.nn.Linear(2, 2)\n"))
    assert isinstance(build(source("own_model:make", base)), torch.nn.Linear)
    assert base not in sys.path


@pytest.mark.parametrize(("name", "message"), [
    ("no_such_module:make", "can't import no_such_module: ModuleNotFoundError"),
    ("sample_models:mpl", "has no 'mpl'; did you mean 'mlp'?"),
    ("sample_models:raises", "raised OSError: no weights here"),
    ("sample_models:returns_a_string", "returned str, expected a torch.nn.Module"),
])  # fmt: skip
def test_what_is_wrong_with_a_factory_is_said(name, message):
    with pytest.raises(UsageError) as caught:
        build(source(name))
    assert message in str(caught.value)


def test_wrong_kwargs_are_said():
    with pytest.raises(UsageError, match="unexpected keyword argument 'depth'"):
        build(source("sample_models:mlp", kwargs={"depth": 3}))


def test_a_module_that_fails_to_import_is_said(own):
    base = str(own(own_broken="1 / 0\n"))
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        factory_of(source("own_broken:make", base))


@pytest.mark.parametrize(("body", "kind"), [
    ("import nobody_has_this", MissingPackageError),
    ("def make(): import nobody_has_this", MissingPackageError),
    ("def make(): raise MemoryError('no 99 GB')", OutOfMemoryError),
    ("def make(): raise RuntimeError('No CUDA-capable device is detected')", DeviceError),
])  # fmt: skip
def test_what_the_machine_lacks_is_not_a_mistake_of_the_scenario(own, body, kind):
    name = f"own_lacking_{abs(hash(body))}"
    with pytest.raises(kind):
        build(source(f"{name}:make", str(own(**{name: body + "\n"}))))


def test_a_missing_part_of_the_module_itself_is_the_scenarios():
    with pytest.raises(UsageError, match="can't import no_such_package"):
        factory_of(source("no_such_package.models:make"))


def test_the_code_hash_follows_the_files_a_factory_uses(own):
    model = "import torch\nimport own_layers\ndef make(): return own_layers.layer()\n"
    layers = "import torch\ndef layer(): return torch.nn.Linear(2, 2)\n"

    def digest(**files):
        return code_hash(factory_of(source("own_model:make", str(own(**files)))))

    first = digest(own_model=model, own_layers=layers)
    assert digest(own_model=model, own_layers=layers) == first
    assert digest(own_model=model, own_layers=layers + "# helper\n") != first
    assert digest(own_model=model + "# here\n", own_layers=layers) != first
