"""From a YAML file to a `Scenario`, or to every mistake in it with its position.

    loaded = load("scenarios/quickstart.yaml", ["load.concurrency=[1,2]"])
    loaded.scenario.backends

Paths in the file are relative to the file, paths in overrides to the working directory; in the
loaded scenario they are absolute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from harness.errors import Problem, ScenarioError, UsageError
from harness.scenario import kinds
from harness.scenario.reading import files, messages, overrides, tree, walk
from harness.scenario.reading.messages import Words
from harness.scenario.reading.tree import FAULTY, Fault, Mark, Node
from harness.scenario.rules.base import Broken, Loc
from harness.scenario.spec.scenario import Scenario
from harness.scenario.wording import describe, nearest
from harness.system.files import require_regular

LARGEST = 2**20
"""Bytes; no scenario that a person wrote is larger."""
PASSED = re.compile(r"/dev/stdin|/(dev|proc/self)/fd/\d+")
"""What a shell's `|` or `<(…)` passes: a pipe on purpose, with somebody at its other end."""


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario and where it came from; `text` is the file as written, without overrides."""

    scenario: Scenario
    text: str
    path: Path
    overrides: tuple[str, ...] = ()


def load(path: str | Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """Read a scenario file, with `KEY=VALUE` overrides put into it.

    Raises ScenarioError with every mistake found, UsageError where there is no file to read.
    """
    path = Path(path)
    text = _decode(read_file(path), str(path))
    scenario = load_text(text, str(path), path.parent, overrides)
    return LoadedScenario(scenario, text, path, tuple(overrides))


def load_text(
    text: str, file: str = "scenario", directory: Path | None = None, sets: Sequence[str] = ()
) -> Scenario:
    """As `load`, from text: `file` stands in messages, paths are relative to `directory`."""
    root, faults = tree.parse(text, file)
    if root is None:
        message = "the file is empty; scenarios/quickstart.yaml is one to start from"
        faults = faults or [Fault(Mark(file, 1, 1), message)]
    elif not root.is_mapping and root.value is not FAULTY:
        found = describe(root.data())
        faults.append(Fault(root.mark, f"expected a mapping (key: value), found {found}"))
    if root is None or not root.is_mapping:
        raise ScenarioError([_from_fault(f) for f in faults])
    root, wrong = overrides.apply(root, sets)
    return _validate(root, [*faults, *wrong], directory or Path())


def _validate(root: Node, faults: Iterable[Fault], directory: Path) -> Scenario:
    problems = [_from_fault(f) for f in faults]
    plain = root.data()
    assert isinstance(plain, dict)
    data = {k: v for k, v in plain.items() if not k.startswith("x-")}
    guessed = list(_assume_kinds(data))
    missing = list(_resolve_files(root, data, directory))
    found = [*guessed, *map(_from_rule, missing)]
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        found += _from_pydantic(error)
    else:
        if not found and not problems:
            return scenario
    problems += [p for words in _heeded(found) if (p := _locate(root, words)) is not None]
    raise ScenarioError(_tidy(problems))


# --------------------------------------------------------------------------------------- reading


def read_file(path: Path) -> bytes:
    """A file that a person wrote. Raises UsageError where it can't be read, or is larger."""
    try:
        if not PASSED.fullmatch(str(path)):
            require_regular(path)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", fix=_similar(path)) from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory; name a file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"can't read {path}: {reason}") from None
    if len(content) > LARGEST:
        raise UsageError(f"{path} is larger than {LARGEST // 2**20} MiB: not a scenario")
    return content


def _similar(path: Path) -> str | None:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except OSError:
        return None
    near = nearest(path.name, names)
    return f"did you mean {path.parent / near}?" if near else None


def _decode(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        mark = tree.place_of(before, len(before), partial(Mark, file))
        message = f"not UTF-8 text (byte 0x{error.object[error.start]:02x}); save it as UTF-8"
        raise ScenarioError([_from_fault(Fault(mark, message))]) from None
    return text.replace("\r\n", "\n")


# -------------------------------------------------------------------------------------- checking


def _assume_kinds(data: dict[str, object]) -> Iterator[Words]:
    """A misspelt backend kind is replaced by the near one, so that its other keys are checked."""
    backends = data.get("backends")
    for index, item in enumerate(backends if isinstance(backends, list) else [backends]):
        kind = item.get("kind") if isinstance(item, dict) else None
        if isinstance(kind, str) and kind not in kinds.SETTINGS:
            words = messages.unknown_kind(("backends", index, "kind"), kind)
            if words.suggestion:
                item["kind"] = words.suggestion
                yield words


def _resolve_files(root: Node, data: object, directory: Path) -> Iterator[Broken]:
    for reference in files.references(data):
        mark = _find(root, reference.loc, on_key=False)[0]
        base = Path() if mark.file == overrides.FILE else directory
        if broken := files.resolve(reference, base):
            yield broken


def _from_rule(broken: Broken, loc: Loc = ()) -> Words:
    path = (*loc, *broken.loc)
    return Words(path, broken.message, None, broken.on_key, holder=path, lacks=broken.lacks)


def _heeded(found: list[Words]) -> list[Words]:
    """Without those who miss a key that is only misspelt."""
    meant = {(w.path[:-1], w.suggestion) for w in found if w.on_key and w.suggestion}
    return [w for w in found if not any((w.holder, key) in meant for key in w.lacks)]


def _from_pydantic(error: ValidationError) -> Iterator[Words]:
    """The words for each error."""
    for detail in error.errors(include_url=False):
        if detail["type"] == "rule":
            yield _from_rule(detail["ctx"]["broken"], walk.follow(detail["loc"]).path)
        elif not (detail["type"] == "too_short" and detail["input"]):  # its items are wrong
            yield messages.explain(detail)


# ------------------------------------------------------------------------------------- positions


def _from_fault(fault: Fault) -> Problem:
    mark = fault.mark
    return Problem(mark.file, mark.line, mark.column, spell(fault.path), fault.message)


def _locate(root: Node, words: Words) -> Problem | None:
    """The problem at its place, or None where the place holds a mistake already reported."""
    mark, path, node = _find(root, words.path, words.on_key)
    if node.value is FAULTY and not words.on_key:
        return None
    return Problem(mark.file, mark.line, mark.column, spell(path), words.message, words.suggestion)


def _find(root: Node, path: walk.Loc, on_key: bool) -> tuple[Mark, walk.Loc, Node]:
    """Mark, path as written and node at `path`; the enclosing mapping's mark for a missing key.

    A single value may stand for a list of one: then the item's number is left out of the path.
    """
    node, mark = root, root.mark
    shown: list[str | int] = []
    for number, step in enumerate(path):
        if isinstance(node.value, dict) and isinstance(step, str):
            shown.append(step)
            entry = node.value.get(step)
            if entry is None:
                break
            node = entry.node
            is_key = (on_key and number == len(path) - 1) or node.value is None
            mark = entry.key if is_key else node.mark
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            shown.append(step)
            node = node.value[step]
            mark = node.mark
    return mark, tuple(shown), node


def spell(path: walk.Loc) -> str:
    """The path as people write it: `backends[1].precision`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _tidy(problems: list[Problem]) -> list[Problem]:
    """In the order of the file, each once."""
    kept: dict[tuple[str, int, int, str], Problem] = {}
    for p in sorted(problems, key=lambda p: (p.file == overrides.FILE, p.line, p.column, p.path)):
        kept.setdefault((p.file, p.line, p.column, p.message), p)
    return list(kept.values())
