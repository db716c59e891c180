"""Translated scenarios become files, and each is read back as `harness run` will read it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import Problem, ScenarioError, UsageError
from harness.migrate import model_analyzer, perf_analyzer
from harness.migrate.arguments import PROGRAM
from harness.migrate.draft import Draft
from harness.scenario.reading.loader import load_text, read_file
from harness.system.files import write_text


def read(source: Sequence[str], directory: Path) -> list[Draft]:
    """The scenarios of a Model Analyzer file or a command line, to be written to `directory`.

    Raises UsageError for what is neither, ScenarioError for a file that names no model.
    """
    if Path(source[0]).name == PROGRAM:
        return [perf_analyzer.translate(source[1:], directory)]
    if len(source) > 1:
        message = f"'{source[0]}' is not {PROGRAM}"
        raise UsageError(message, fix=f"harness import -o scenario.yaml -- {PROGRAM} -m MODEL …")
    try:
        text = read_file(Path(source[0])).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"can't read {source[0]}: {error}") from None
    return model_analyzer.translate(text, source[0], directory)


def places(drafts: Sequence[Draft], output: Path) -> list[Path]:
    """Where each goes: the first to `output`, further ones beside it, with their model's name.

    A model that is there more than once is numbered from the second on.
    """
    found = [output]
    for draft in drafts[1:]:
        stem, count = f"{output.stem}-{draft.model.replace('/', '_')}", 1
        while (path := output.with_name(f"{stem}{_numbered(count)}{output.suffix}")) in found:
            count += 1
        found.append(path)
    return found


def _numbered(count: int) -> str:
    return "" if count == 1 else f"-{count}"


def write(drafts: Sequence[Draft], output: Path, force: bool = False) -> list[Path]:
    """Write the scenarios and what belongs beside them; nothing where anything was wrong.

    Raises ScenarioError with every bad value, UsageError where a file is there already.
    """
    problems = list(dict.fromkeys(p for draft in drafts for p in draft.problems))
    if problems:
        raise ScenarioError(sorted(problems, key=lambda p: (p.file, p.line, p.column)))
    texts = dict(zip(places(drafts, output), (d.text() for d in drafts), strict=True))
    texts |= {output.parent / name: text for d in drafts for name, text in d.files.items()}
    for path in texts:
        if path.exists() and not force:
            raise UsageError(f"{path} is there already", fix="choose another name, or --force")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            write_text(path, text)
    except OSError as error:
        raise UsageError(f"can't write {output}: {error.strerror or error}") from None
    return list(texts)[: len(drafts)]


def check(path: Path) -> list[Problem]:
    """What keeps the written scenario from being run on this machine, like a missing directory."""
    try:
        load_text(path.read_text("utf-8"), str(path), path.parent)
    except ScenarioError as error:
        return list(error.problems)
    return []
