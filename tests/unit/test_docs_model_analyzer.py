"""docs/model-analyzer.md names every option of Model Analyzer, and only keys that exist here."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from support.paths import ROOT

from harness.cli.main import main
from harness.scenario.reading import walk
from harness.scenario.reading.loader import load
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.scenario import Scenario
from harness.triton.client.settings import TritonSettings

PAGE = (ROOT / "docs" / "model-analyzer.md").read_text()
OPTIONS = (ROOT / "tests" / "data" / "model_analyzer_options.txt").read_text()
STATUSES = {"yes", "better", "not needed", "no"}


def sections() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in OPTIONS.splitlines():
        if heading := re.fullmatch(r"\[(.+)\]", line):
            found[heading[1]] = []
        elif line and not line.startswith("#"):
            list(found.values())[-1].append(line)
    return found


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows(text: str) -> list[list[str]]:
    """The cells of the first table in a text, without its head."""
    lines = iter(text.splitlines())
    table = [next(line for line in lines if line.startswith("|"))]
    for line in lines:
        if not line.startswith("|"):
            break
        table.append(line)
    return [cells(line) for line in table[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def tables() -> Iterator[list[list[str]]]:
    """Every table that has a column `here` of keys."""
    head = "| Model Analyzer | status | here | note |"
    for text in PAGE.split(head)[1:]:
        yield rows(head + text)


SECTIONS = sections()
ROWS = [row for table in tables() for row in table]


@pytest.mark.parametrize("section", SECTIONS)
def test_every_option_is_on_the_page_once(section: str) -> None:
    text = PAGE.partition(f"<!-- options: {section} -->")[2]
    named = [word for row in rows(text) for word in words(row[0])]
    assert sorted(named) == sorted(SECTIONS[section])


def test_the_list_is_of_the_version_that_the_page_is_about() -> None:
    version = OPTIONS.splitlines()[0].split()[-1]
    assert f"Model Analyzer {version.rpartition('.')[0]} " in PAGE


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_has_a_status_and_what_it_promises(row: list[str]) -> None:
    _, status, here, note = row
    assert status in STATUSES
    assert here or note, "says neither what to write nor why not"
    if status in ("no", "not needed"):
        assert note
        assert not here


# ------------------------------------------------------------------------------- keys and commands


def fields(here: Any) -> Iterator[Any]:
    """Types of values at a place, through unions and lists."""
    here = walk.unwrap(here)
    if walk.is_model(here):
        yield here
        return
    for inner in get_args(here):
        yield from fields(inner)


def exists(path: str, root: Any = Scenario) -> bool:
    """Whether the scenario has a key; `backends.…` is a Triton backend's."""
    first, _, rest = path.partition(".")
    for model in fields(root):
        if first in model.model_fields:
            below = TritonSettings if first == "backends" else model.model_fields[first].annotation
            if not rest or exists(rest, below):
                return True
    return False


def keys() -> set[str]:
    """Every `key` and `key: value` of the column `here`."""
    return {w for row in ROWS for w in words(row[2]) if not w.startswith("harness ")}


def test_the_walk_finds_what_is_there_and_nothing_else() -> None:
    assert exists("backends.server.docker.args")
    assert exists("load.find_capacity.precision")
    assert not exists("backends.server.dokcer")
    assert not exists("load.concurency")


@pytest.mark.parametrize("key", sorted(keys()))
def test_a_key_is_in_the_schema(key: str) -> None:
    assert exists(key.partition(":")[0])


@pytest.mark.parametrize("value", sorted(key for key in keys() if ":" in key))
def test_a_value_is_one_that_the_key_takes(value: str) -> None:
    key, _, word = (part.strip() for part in value.partition(":"))
    assert word in set(literals(Scenario.model_fields[key].annotation))


def literals(here: Any) -> Iterator[str]:
    """Words that may stand at a place, those of a mapping's keys included."""
    here = walk.unwrap(here)
    for kind in walk.members_of(here) if here is BackendSettings else ():
        yield from literals(kind)
    if walk.is_model(here):
        for name, field in here.model_fields.items():
            yield name
            yield from literals(field.annotation)
    yield from walk.words(here)
    for inner in get_args(here):
        if not isinstance(inner, str):
            yield from literals(inner)


def commands() -> Iterable[str]:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    return sorted({word for word in words(prose) if word.startswith("harness ")})


@pytest.mark.parametrize("text", commands())
def test_a_command_exists_with_its_options(text: str) -> None:
    command: Any = main_group()
    for word in text.split()[1:]:
        if word.startswith("--"):
            names = {name for p in command.get_params(click.Context(command))
                     for name in (*p.opts, *p.secondary_opts)}  # fmt: skip
            assert word in names
        elif isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            assert command is not None


def main_group() -> click.Group:
    module = importlib.import_module(main.__module__)
    return next(v for v in vars(module).values() if isinstance(v, click.Group))


def test_the_translated_file_is_a_scenario(tmp_path: Path) -> None:
    example = re.search(r"<!-- example -->\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    (tmp_path / "models").mkdir()
    binary = tmp_path / "tritonserver"
    binary.touch()
    text = example[1].replace("/opt/tritonserver/bin/tritonserver", str(binary))
    (tmp_path / "scenario.yaml").write_text(text)
    scenario = load(tmp_path / "scenario.yaml").scenario
    assert scenario.search.method == "grid"
    (backend,) = scenario.backends
    assert isinstance(backend, TritonSettings)
    assert backend.instances == (1, 2)
