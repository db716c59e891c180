"""Environments made by the real pip from a wheel of our own, without a network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from harness.errors import HarnessError, InterpreterError
from harness.run import environments
from harness.run.environments import Interpreter, Interpreters, make_environments
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.scenario import Scenario
from harness.system.environment import PACKAGE_IN

SCENARIO = """\
scenario: s
model: {{name: m, source: {{fake: {{}}}}}}
environments: {{mine: {environment}}}
backends: [{{kind: fake, name: a, service_time_ms: 1, environment: mine}}]
"""


def wheel(folder: Path, version: str = "1.0", text: str = "") -> Path:
    """A package with one module."""
    folder.mkdir(exist_ok=True)
    path = folder / f"tiny_thing-{version}-py3-none-any.whl"
    info = f"tiny_thing-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_thing.py", f"VERSION = '{version}{text}'\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-thing\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def scenario(environment: str) -> Scenario:
    return load_text(SCENARIO.format(environment=environment))


def make(environment: str, folder: Path, told: list[str] | None = None) -> Interpreters:
    lines: list[str] = [] if told is None else told
    return make_environments(
        scenario(environment), folder, folder / "cache", folder / "log", lines.append
    )


def error(found: Interpreters) -> HarnessError:
    assert isinstance(found["mine"], HarnessError)
    return found["mine"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario's folder with a wheel, whose environment has been made; nothing else in it."""
    path = tmp_path_factory.mktemp("environments")
    wheel(path / "wheels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BackendSettings, "worker_needs", ())
        told: list[str] = []
        found = make(ENVIRONMENT, path, told)
        (path / "told.json").write_text(json.dumps(told))
        assert isinstance(found["mine"], Interpreter), found
        (path / "python").write_text(found["mine"].python)
    return path


ENVIRONMENT = "{packages: [tiny-thing==1.0], find_links: [wheels], index: 'file:///nowhere'}"


@pytest.fixture(autouse=True)
def no_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BackendSettings, "worker_needs", ())


def test_it_is_made_without_an_index_where_the_wheels_are_at_hand(folder: Path) -> None:
    told = json.loads((folder / "told.json").read_text())
    assert told[0].startswith("environment mine: making it in ")
    assert any("Installing collected packages" in line for line in told)
    assert "nowhere" not in (folder / "log").read_text()


def test_it_is_made_once_and_its_lock_has_the_wheels_hash(folder: Path) -> None:
    before, told = (folder / "log").read_text(), list[str]()
    found = make(ENVIRONMENT, folder, told)["mine"]
    assert isinstance(found, Interpreter)
    assert (folder / "log").read_text() == before
    assert told == []
    facts = found.packages["tiny-thing"]
    assert facts["version"] == "1.0"
    content = (folder / "wheels" / "tiny_thing-1.0-py3-none-any.whl").read_bytes()
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()
    assert "env" not in found.to_json()
    assert set(found.packages) == {"tiny-thing"}  # not even pip
    assert [p.name for p in Path(found.env[PACKAGE_IN]).iterdir()] == ["harness"]


def test_another_wheel_of_the_same_version_is_another_environment(
    folder: Path, tmp_path: Path
) -> None:
    wheel(tmp_path / "wheels", text="b")
    made = environments._Making(
        "mine", scenario(ENVIRONMENT).environments["mine"], (), folder, folder, folder / "log"
    )
    other = environments._Making(
        "mine", scenario(ENVIRONMENT).environments["mine"], (), tmp_path, folder, folder / "log"
    )
    assert made._key() != other._key()


def test_one_that_a_kill_left_half_made_is_made_anew(folder: Path) -> None:
    python = Path((folder / "python").read_text())
    (python.parents[1] / environments.LOCK).unlink()
    python.unlink()
    found = make(ENVIRONMENT, folder)["mine"]
    assert isinstance(found, Interpreter)
    assert Path(found.python).exists()


def test_a_failure_carries_the_installers_last_lines(folder: Path) -> None:
    found = error(make("{packages: [tiny-thing==7.0], index: 'file:///nowhere'}", folder))
    assert isinstance(found, InterpreterError)
    assert "No matching distribution found for tiny-thing==7.0" in found.message
    assert str(folder / "log") in str(found.fix)


@pytest.mark.parametrize("written", ["/no/such/python", "./python", "no-such-python"])
def test_an_interpreter_that_is_not_there(written: str, folder: Path, tmp_path: Path) -> None:
    assert "there is no" in error(make(f"{{python: {written}}}", tmp_path)).message


def test_an_interpreter_without_what_a_worker_needs(folder: Path, tmp_path: Path) -> None:
    python = (folder / "python").read_text()
    found = error(make(f"{{python: {python}}}", folder))
    assert "has no numpy and no pydantic" in found.message
    assert found.fix == f"{python} -m pip install numpy pydantic"
    odd = tmp_path / "my python"
    odd.write_text(f'#!/bin/sh\nexec {python} "$@"\n')
    odd.chmod(0o755)
    found = error(make(f"{{python: '{odd}'}}", folder))
    assert found.fix == f"'{odd}' -m pip install numpy pydantic"


def test_a_program_that_is_no_python(folder: Path) -> None:
    assert "is no Python that runs" in error(make("{python: /bin/false}", folder)).message


def test_an_interpreter_that_is_there_is_taken_as_it_is(folder: Path) -> None:
    found = make(f"{{python: {sys.executable}}}", folder)["mine"]
    assert isinstance(found, Interpreter)
    assert found.python == sys.executable
    assert found.packages["numpy"]["version"]


def test_what_a_worker_needs_is_added_unless_it_is_written(folder: Path) -> None:
    spec = scenario("{packages: [numpy==1.26.4, wheels/a.whl]}").environments["mine"]
    needs = ("numpy>=1.26", "pydantic>=2.10")
    made = environments._Making("mine", spec, needs, folder, folder, folder / "log")
    assert made._requirements == ["numpy==1.26.4", "wheels/a.whl", "pydantic>=2.10"]


def test_of_two_versions_on_its_path_it_has_the_one_that_is_imported(tmp_path: Path) -> None:
    """A virtual environment whose own packages stand before those of another folder."""
    own, behind = tmp_path / "own", tmp_path / "behind"
    python = own / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(own)], check=True)
    (site,) = own.glob("lib/python*/site-packages")
    for folder, version in ((site, "2.0"), (behind, "1.0")):
        zipfile.ZipFile(wheel(tmp_path / "wheels", version)).extractall(folder)
    here = sysconfig.get_path("purelib")
    (site / "zz_behind.pth").write_text(f"{behind}\n{here}\n")
    found = make(f"{{python: {python}}}", tmp_path)["mine"]
    assert isinstance(found, Interpreter)
    assert found.packages["tiny-thing"] == {"version": "2.0"}
