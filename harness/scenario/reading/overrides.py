"""`--set load.concurrency=[1,2]`: a value put into the tree, with its own place for messages.

A place in an override reads `--set:2:6`: the second `--set`, its sixth character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.errors import did_you_mean
from harness.scenario.reading import tree
from harness.scenario.reading.tree import Fault, Mark, Node, TreeEntry
from harness.scenario.spec.backend import parse_name
from harness.scenario.wording import nearest, shorten

FILE = "--set"
_STEP = re.compile(r"(?:(?:^|\.)(?P<key>[A-Za-z_][\w-]*))|\[(?P<item>[^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step of an override's path: a key, or an item (its number, or a backend's name)."""

    text: str
    is_item: bool
    mark: Mark


class _WrongError(Exception):
    """Ends an override with the fault that was found in it."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


def apply(root: Node, overrides: Sequence[str]) -> tuple[Node, list[Fault]]:
    """The tree with every override in it, in order, and what was wrong with them."""
    faults: list[Fault] = []
    for line, text in enumerate(overrides, 1):
        try:
            steps, value = _read(text, line)
            root = _put(root, steps, value, ())
        except _WrongError as wrong:
            faults.append(wrong.fault)
    return root, faults


def _read(text: str, line: int) -> tuple[list[PathStep], Node]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        message = f"'{shorten(text)}' is not KEY=VALUE, like load.concurrency=[1,2]"
        raise _WrongError(Fault(Mark(FILE, line, 1), message))
    return _steps(path.rstrip(), line), _value(value, line, len(path) + 1, path.strip())


def _steps(path: str, line: int) -> list[PathStep]:
    steps: list[PathStep] = []
    position = len(path) - len(path.lstrip())
    start = position
    while position < len(path):
        match = _STEP.match(path[start:], position - start)
        if match is None or (match["item"] and not steps):
            message = f"'{shorten(path)}' is no key; write it like backends[0].precision"
            raise _WrongError(Fault(Mark(FILE, line, position + 1), message))
        group = "key" if match["key"] else "item"
        mark = Mark(FILE, line, start + match.start(group) + 1)
        steps.append(PathStep(match[group], group == "item", mark))
        position = start + match.end()
    return steps


def _value(text: str, line: int, offset: int, path: str) -> Node:
    starts = [offset + m.end() for m in re.finditer(r"^|\n", text)]

    def at(row: int, column: int) -> Mark:
        return Mark(FILE, line, starts[min(row, len(starts)) - 1] + column)

    node, faults = tree.parse(text, FILE, at)
    if faults:
        raise _WrongError(replace(faults[0], path=(path,)))
    if node is None:
        raise _WrongError(Fault(Mark(FILE, line, offset + 1), "has no value", (path,)))
    return node


def _put(node: Node, steps: list[PathStep], value: Node, done: tuple[str | int, ...]) -> Node:
    """A copy of `node` with `value` where the steps lead; what is shared by aliases stays."""
    if not steps:
        return value
    step, *rest = steps
    if step.is_item:
        items = list(node.value) if isinstance(node.value, list) else [node]
        index = _index(items, step, done)
        items[index] = _put(items[index], rest, value, (*done, index))
        return Node(node.mark, items)
    if node.value is not None and not isinstance(node.value, dict):
        kind = "a list; say which item, like [0]" if isinstance(node.value, list) else "no mapping"
        raise _WrongError(Fault(step.mark, f"can't be set: what is before it is {kind}",
                           (*done, step.text)))  # fmt: skip
    entries = dict(node.value or {})
    old = entries.get(step.text)
    inside = old.node if old else Node(step.mark, None)
    key = old.key if old and rest else step.mark
    entries[step.text] = TreeEntry(key, _put(inside, rest, value, (*done, step.text)))
    return Node(node.mark, entries)


def _index(items: list[Node], step: PathStep, done: tuple[str | int, ...]) -> int:
    if step.text.isdecimal():
        if int(step.text) < len(items):
            return int(step.text)
        message = f"there is no item {step.text}: the list has {len(items)}, counted from 0"
        raise _WrongError(Fault(step.mark, message, done))
    names = [parse_name(n.data()) if n.is_mapping else None for n in items]
    if done == ("backends",) and step.text in names:
        return names.index(step.text)
    known = [name for name in names if name]
    hint = did_you_mean(nearest(step.text, known))
    where = f"the backends are {', '.join(known)}" if done == ("backends",) else "write its number"
    raise _WrongError(Fault(step.mark, f"there is no item '{step.text}': {where}{hint}", done))
