"""Every shell command of the documentation is run by a test, or says that it needs a GPU."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from support.commands import ACCOUNTS, CHEAP, CI, HERE, NEEDS_GPU, PAGES, SHELL, account, commands
from support.paths import ROOT

from harness.cli.main import command as program
from harness.cli.main import main

ALL = [command for page in PAGES for command in commands(page)]
EXAMPLE = re.search(
    r"<!-- example -->\n```yaml\n(.*?)^```$",
    (ROOT / "docs/from-model-analyzer.md").read_text("utf-8"), re.M | re.S,
)  # fmt: skip
MINE = """
scenario: my
model: {name: nothing, source: {fake: {}}}
backends: [{name: torch-cpu-fp32, kind: fake}, {name: other, kind: fake}]
load: {batch_sizes: [1], concurrency: [1]}
"""


def test_the_pages_have_commands() -> None:
    assert len(ALL) > 70
    assert {"README.md", "docs/tutorial.md", "docs/howto/ci-gate.md"} <= {c.page for c in ALL}


def test_none_is_unaccounted() -> None:
    assert [c.where for c in ALL if account(c) is None] == []


def test_no_account_stands_for_nothing() -> None:
    used = {(c.page, how) for c in ALL if (how := account(c))}
    assert [entry for entry in ACCOUNTS if (entry[0], entry[2]) not in used] == []


def _function(source: str, name: str) -> bool:
    return any(
        isinstance(n, ast.FunctionDef) and n.name == name for n in ast.walk(ast.parse(source))
    )


@pytest.mark.parametrize(
    "account_", sorted({how for _, _, how in ACCOUNTS} - {CHEAP, HERE, SHELL, CI, NEEDS_GPU})
)
def test_what_stands_for_a_command_exists_and_knows_the_subcommand(account_: str) -> None:
    path, _, name = account_.partition("::")
    source = (ROOT / path).read_text("utf-8")
    assert not name or _function(source, name)
    for page in PAGES:  # what reads its commands from a page runs those of the page
        source += page.read_text("utf-8") if f'"{page.name}"' in source else ""
    for command in ALL:
        if account(command) == account_ and command.words[0] == "harness":
            assert re.search(rf"\b{command.words[1]}\b", source), command.where


def test_ci_runs_what_is_said_to_be_run_there() -> None:
    script = (ROOT / CI).read_text("utf-8")
    assert {"make test", "make lint"} <= set(script.splitlines())
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(r"^test: setup", makefile, re.M)
    for command in (c for c in ALL if c.words[0] == "make"):
        assert re.search(rf"^{command.words[1]}:", makefile, re.M), command.where


def test_what_sets_up_the_shell_is_read_by_it() -> None:
    for command in (c for c in ALL if account(c) == SHELL):
        subprocess.run(["bash", "-n", "-c", command.text], check=True)


@pytest.mark.parametrize(
    "command", [c for c in ALL if c.words[0] == "harness"], ids=lambda c: c.where
)
def test_its_options_are_those_of_the_command(command) -> None:
    known: click.Command = program
    context = click.Context(program)
    words = command.words[1:]
    while isinstance(known, click.Group):
        found = known.get_command(context, words.pop(0))
        assert found is not None, command.where
        known = found
    words = words[: words.index("--")] if "--" in words else words
    options = {o for p in known.params for o in (*p.opts, *p.secondary_opts)}
    assert {w.partition("=")[0] for w in words if re.match(r"-\w|--\w", w)} <= options
    known.make_context(known.name, list(words), resilient_parsing=True)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "sample").symlink_to(ROOT / "reports" / "sample")
    for name in ("my.yaml", "scenario.yaml"):
        (tmp_path / name).write_text(MINE)
    for name in ("config.yaml", "analyzer.yaml"):
        assert EXAMPLE is not None
        (tmp_path / name).write_text(EXAMPLE[1])
    shutil.copytree(ROOT / "scenarios/models/repository/identity", tmp_path / "models" / "resnet50")
    config = tmp_path / "models" / "resnet50" / "config.pbtxt"
    config.write_text(config.read_text("utf-8").replace('"identity"', '"resnet50"'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("page", sorted({c.page for c in ALL if account(c) == CHEAP}))
def test_what_is_cheap_runs(workspace: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (c for c in ALL if c.page == page and account(c) == CHEAP):
        words = command.words[1:]
        if words[0] == "import":
            (workspace / words[words.index("-o") + 1]).unlink(missing_ok=True)
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capsys.readouterr()
        assert ended.value.code == 0, f"{command.where}\n{said.out}\n{said.err}"
