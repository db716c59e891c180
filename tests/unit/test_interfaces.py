"""What people expect of a command line: `--json` where there are results, a schema, NO_COLOR."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.paths import ROOT
from support.synthetic_run import write_bare

from harness.cli.main import command as program
from harness.cli.main import main

PAGE = (ROOT / "docs" / "json.md").read_text("utf-8")
NO_RESULTS = {"schema", "completion", "triton install", "triton serve", "telemetry serve"}
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
ANALYZER = "model_repository: models\nprofile_models: [identity]\nplots: {}\n"


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, f"{before}{name} ")
        else:
            yield f"{before}{name}", found


ALL = dict(leaves(program))


def test_every_command_with_results_has_json_and_stands_on_the_page() -> None:
    without = {n for n, c in ALL.items() if not any("--json" in p.opts for p in c.params)}
    assert without == NO_RESULTS
    listed = set(re.findall(r"^\| `([a-z -]+?)`", PAGE, re.M)) - {"run --dry-run"}
    assert listed == set(ALL) - NO_RESULTS


def test_every_schema_is_named_for_its_command_and_stands_in_the_code() -> None:
    rows = re.findall(r"^\| `([a-z -]+?)` \| `harness-([a-z-]+)/(\d+)` \|", PAGE, re.M)
    assert len(rows) == len(re.findall(r"^\| `", PAGE, re.M))
    code = "".join(p.read_text("utf-8") for p in (ROOT / "harness").rglob("*.py"))
    for command, name, number in rows:
        of = {"merge": "run", "run --dry-run": "dry-run"}.get(command, command.replace(" ", "-"))
        assert name == of
        assert f'"harness-{name}/{number}"' in code or f'print_json("{name}"' in code, command


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    with pytest.raises(SystemExit):
        main([str(word) for word in words])
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_the_schemas_are_those_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "a.yaml").write_text(ANALYZER)
    run, fake = write_bare(tmp_path / "run"), ROOT / "scenarios" / "fake.yaml"
    calls = (
        ("validate", fake), ("run", fake, "--dry-run"), ("report", run, "--format", "csv"),
        ("import", tmp_path / "a.yaml", "-o", tmp_path / "s.yaml"), ("history", "add", run),
        ("history", "report"),
    )  # fmt: skip
    for words in calls:
        schema = str(said(capsys, *words, "--json")["schema"])
        assert re.fullmatch(r"harness-[a-z-]+/\d+", schema), words
        assert f"`{schema}`" in PAGE
    broken = tmp_path / "broken.yaml"
    broken.write_text("scenario: x\n")
    assert said(capsys, "validate", broken, "--json")["valid"] is False


def on_a_terminal(folder: Path, **env: str) -> bytes:
    """What `harness import` shows on one."""
    ours, theirs = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    words = ("import", "a.yaml", "-o", "s.yaml", "--force")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *words], cwd=folder,
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **env},
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(ours)
    assert process.wait(60) in (0, 2), shown
    return shown


def test_no_color_is_obeyed_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(ANALYZER)
    (tmp_path / "models" / "identity").mkdir(parents=True)
    assert COLOUR.search(on_a_terminal(tmp_path))
    assert not COLOUR.search(on_a_terminal(tmp_path, NO_COLOR="1"))


def test_nothing_goes_round_what_reads_no_color() -> None:
    """Colours come from rich's consoles alone, and none of them is told to show colours."""
    for path in (ROOT / "harness").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert name != "secho", path
                told = {k.arg for k in node.keywords}
                if name == "Console":
                    assert not told & {"color_system", "no_color", "force_terminal"}, path
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not COLOUR.search(node.value.encode("utf-8", "surrogatepass")), path
