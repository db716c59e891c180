import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.backends import registry
from harness.backends.base import BackendContext
from harness.errors import UsageError
from harness.models.tensors import PreparedModel
from harness.scenario import kinds
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.backend import BackendSettings, all_settings, settings_of
from harness.scenario.spec.scenario import Scenario
from harness.validate.reference import scenario_schema

TOY = """
from typing import ClassVar, Literal

from pydantic import Field

from harness.backends.fake import FakeBackend, FakeSettings


class ToySettings(FakeSettings):
    kind: Literal["toy"] = Field(description="a toy")
    colour: Literal["red", "blue"] = Field("red", description="of the toy")


class ToyBackend(FakeBackend):
    pass
"""
PATHS = {"settings": "my_toy:ToySettings", "backend": "my_toy:ToyBackend"}
MODEL = PreparedModel("m", {"fake": {}}, "k", (), ())


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kind of its own, in a module beside, for one test."""
    (tmp_path / "my_toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(kinds, "SETTINGS", dict(kinds.SETTINGS))
    monkeypatch.setattr(registry, "BACKENDS", dict(registry.BACKENDS))
    monkeypatch.delitem(sys.modules, "my_toy", raising=False)
    registry.register("toy", **PATHS)
    return tmp_path


def text(colour: str = "blue") -> str:
    return (
        "scenario: s\nmodel: {name: m, source: {fake: {}}}\n"
        f"backends:\n- kind: toy\n  colour: {colour}\n"
    )


def test_every_kind_has_settings_of_its_name_and_an_implementation() -> None:
    for kind, settings in all_settings().items():
        assert settings.model_fields["kind"].annotation is not str
        assert settings.model_validate(
            {"kind": kind} | ({"protocol": "http"} if kind == "triton" else {})
        )
    assert list(registry.BACKENDS) == list(kinds.SETTINGS)


@pytest.mark.parametrize("first", ["harness.scenario.spec.scenario", "harness.scenario.kinds",
                                   "harness.run.worker.messages", "harness.errors"])  # fmt: skip
def test_the_kinds_are_known_whatever_is_imported_first(first: str) -> None:
    code = f"""
try:
    import {first}
except ModuleNotFoundError:
    pass
from harness.scenario.kinds import SETTINGS; print(*SETTINGS)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "onnxruntime", "tensorrt", "triton", "fake"]


def test_registering_imports_nothing() -> None:
    code = "import sys, harness; print([m for m in sys.modules if 'pydantic' in m or 'numpy' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_kind_of_ones_own_in_a_scenario(toy: Path) -> None:
    (backend,) = load_text(text()).backends
    assert (backend.kind, backend.name, backend.model_dump()["colour"]) == ("toy", "toy", "blue")
    with registry.open_backend(backend, BackendContext(MODEL)) as opened:
        assert type(opened).__name__ == "ToyBackend"


def test_its_mistakes_have_positions_and_its_keys_are_in_the_schema(toy: Path) -> None:
    from harness.errors import ScenarioError

    with pytest.raises(ScenarioError) as caught:
        load_text(text("bleu"))
    (problem,) = caught.value.problems
    assert (problem.line, problem.path, problem.suggestion) == (5, "backends[0].colour", "blue")
    assert "colour" in scenario_schema()["$defs"]["ToySettings"]["properties"]
    assert "ToySettings" in str(scenario_schema()["properties"]["backends"])


def test_another_process_learns_the_kind_from_the_message(toy: Path) -> None:
    (backend,) = load_text(text()).backends
    message = json.dumps(registry.message_of(backend))
    code = f"""
import json, sys
sys.path.insert(0, {str(toy)!r})
from harness.backends.registry import from_message
print(from_message(json.loads({message!r})).model_dump_json())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == backend.model_dump(mode="json")


def test_a_scenario_with_it_reads_back_as_itself(toy: Path) -> None:
    scenario = load_text(text())
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_a_kind_that_is_taken_and_paths_that_lead_nowhere(toy: Path) -> None:
    registry.register("toy", **PATHS)
    with pytest.raises(UsageError, match="'torch' is taken"):
        registry.register("torch", settings="my_toy:ToySettings", backend="my_toy:ToyBackend")
    assert registry.BACKENDS["torch"] == "harness.backends.torch.backend:TorchBackend"
    for path, message in (
        ("not_there:X", "no module not_there"), ("my_toy:X", "my_toy has no X"),
        ("my_toy:TOY", "my_toy has no TOY"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            kinds.import_path(path)
    kinds.SETTINGS["toy"] = "my_toy:ToyBackend"
    with pytest.raises(UsageError, match="no subclass of BackendSettings"):
        settings_of("toy")


def test_a_class_is_registered_by_where_it_is(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import my_toy

    for table in (kinds.SETTINGS, registry.BACKENDS):
        monkeypatch.delitem(table, "toy")
    with pytest.raises(UsageError, match="'fake' is taken: its settings are"):
        monkeypatch.setitem(kinds.SETTINGS, "fake", "other:Settings")
        registry.kind_of(my_toy.ToyBackend)  # its constructor is the fake's
    assert registry.kind_of(my_toy.ToyBackend, my_toy.ToySettings) == "toy"
    assert (kinds.SETTINGS["toy"], registry.BACKENDS["toy"]) == tuple(PATHS.values())


def test_a_class_that_no_worker_can_import_is_refused(toy: Path) -> None:
    import my_toy

    class Local(my_toy.ToyBackend):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(UsageError, match="Local is defined inside a function") as caught:
        registry.kind_of(Local, my_toy.ToySettings)
    assert "top level of a module" in (caught.value.fix or "")

    class Silent:
        def __init__(self, settings: object, context: object) -> None:
            pass

    with pytest.raises(UsageError, match="does not say which settings it takes"):
        registry.kind_of(Silent)
    with pytest.raises(UsageError, match="BackendSettings says no kind"):
        registry.kind_of(my_toy.ToyBackend, BackendSettings)


NOTEBOOK = """
from typing import Literal

from harness.backends import registry
from harness.backends.fake import FakeBackend, FakeSettings
from harness.errors import UsageError

class ToySettings(FakeSettings):
    kind: Literal["toy"]

class ToyBackend(FakeBackend):
    def __init__(self, settings: ToySettings, context: object) -> None:
        super().__init__(settings, context)

try:
    print(registry.kind_of(ToyBackend), registry.BACKENDS["toy"])
    print(registry.parse_spec({"kind": "toy"}))
except UsageError as error:
    print(error.message)
"""


def test_a_script_is_a_module_and_a_notebook_is_none(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(NOTEBOOK)
    for arguments, words in (
        (["-c", NOTEBOOK], "defined in no file: the worker processes could not import it"),
        ([str(tmp_path / "script.py")], "toy script:ToyBackend"),
    ):
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert words in done.stdout
