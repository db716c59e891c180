"""YAML text as a tree that knows where everything stands: the base of every message's position.

The tree holds only what a scenario may hold (mappings with text keys, lists, numbers, text, true,
false, null): tags, several documents, recursion and alias bombs are `Fault`s here already.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Union

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError

from harness.scenario.wording import shorten

MAX_DEPTH, MAX_VALUES = 40, 20_000
"""Deeper, or more values once aliases are expanded, is no scenario that a person wrote."""
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_TAG = "tag:yaml.org,2002:"


Scalar = str | int | float | bool | None
NodeValue = Union[Scalar, list["Node"], dict[str, "TreeEntry"], "_Faulty"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file, 1-based, columns in characters."""

    file: str
    line: int
    column: int


At = Callable[[int, int], Mark]
"""A place by line and column of a text: of a file, or of where the text is from."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A mistake at a place; `path` is filled in where it is known."""

    mark: Mark
    message: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place: a scalar, a list of nodes, or a dict of text to `TreeEntry`."""

    mark: Mark
    value: NodeValue

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping."""
        return isinstance(self.value, dict)

    def data(self) -> object:
        """The value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: entry.node.data() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [item.data() for item in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A key's place and its value."""

    key: Mark
    node: Node


def parse(text: str, file: str, at: At | None = None) -> tuple[Node | None, list[Fault]]:
    """The tree of `text` (None for an empty document or bad syntax) and the mistakes found.

    Places are of `file`, or what `at` says of a line and a column.
    """
    at = at or partial(Mark, file)
    if deep := _open_brackets(text, at):
        return None, [deep]
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an anchor may be defined again
            root = yaml.compose(io.StringIO(text))
        if root is None:
            return None, []
        builder = _Builder(at, yaml.constructor)
        return builder.build(root, ()), builder.faults
    except ReaderError as error:
        return None, [_unreadable(text, at, error)]
    except MarkedYAMLError as error:
        return None, [_syntax(at, error)]
    except RecursionError:
        return None, [Fault(at(1, 1), _TOO_DEEP)]
    except (YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        return None, [Fault(at(1, 1), f"not valid YAML: {error}")]  # the parser's own bugs


# --------------------------------------------------------------------------------------- syntax

_SYNTAX: tuple[tuple[str, str], ...] = (
    (r"found character '\\t'", "a tab character; indent with spaces"),
    (r"found character '(.)'", "a value can't start with '{0}'; put it in quotes"),
    (
        r"mapping values are not allowed",
        "a ':' where no key can stand; check the indentation, and quote text that contains ': '",
    ),
    (r"sequence entries are not allowed", "a '- ' where no list can start; put it on its own line"),
    (r"could not find expected ':'", "a key without its ':'"),
    (r"found unexpected end of stream", "the file ends inside a quoted text; close the quote"),
    (r"expected <block end>", "doesn't fit what is above it; check the indentation"),
    (r"expected ',' or '(.)'", "expected ',' or '{0}': a bracket that is opened must be closed"),
    (r"expected the node content, but found '<", "expected a value, but nothing more comes"),
    (r"expected the node content, but found '(.*)'", "expected a value, found '{0}'"),
    (r"found undefined alias '(.*)'", "'*{0}' stands for nothing: there is no '&{0}' above it"),
    (r"found unknown escape character '(.*)'", r"'\{0}' is no escape; use single quotes or '\\'"),
    (r"found another document", "a second document; a file holds one scenario (remove '---')"),
)


def _syntax(at: At, error: MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or error.context or "can't be read")
    for pattern, words in _SYNTAX:
        if match := re.search(pattern, problem):
            message = words
            for index, group in enumerate(match.groups()):
                message = message.replace(f"{{{index}}}", group)
            return Fault(at(line, column), message)
    return Fault(at(line, column), f"not valid YAML: {problem}")


def place_of(text: str, offset: int, at: At) -> Mark:
    """The place of the character at `offset` in `text`."""
    before = text[:offset]
    return at(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def _open_brackets(text: str, at: At) -> Fault | None:
    """Refuse hundreds of open brackets at once: the scanner's time grows with their square."""
    depth = 0
    for match in re.finditer(r"[\[\]{}]", text):
        depth += 1 if match[0] in "[{" else -1
        if depth > 5 * MAX_DEPTH:  # some may stand in comments and quotes
            return Fault(place_of(text, match.start(), at), _TOO_DEEP)
    return None


def _unreadable(text: str, at: At, error: ReaderError) -> Fault:
    code = error.character if isinstance(error.character, int) else ord(error.character)
    position = text.find(chr(code))
    mark = place_of(text, max(position, 0), at)
    return Fault(mark, f"a control character (U+{code:04X}); remove it")


# ---------------------------------------------------------------------------------------- nodes


@dataclass
class _Builder:
    """Turns composed YAML nodes into `Node`s, and collects what a scenario may not hold."""

    at: At
    constructor: SafeConstructor
    faults: list[Fault] = field(default_factory=list)
    _built: dict[int, Node] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)
    _size: dict[int, int] = field(default_factory=dict)

    def build(self, node: YamlNode, path: tuple[str | int, ...]) -> Node:
        """The node's tree; an alias gives the same `Node` as its anchor."""
        key, mark = id(node), self._mark(node)
        if key in self._open:
            return self._fault(mark, path, "an alias inside what it stands for")
        if len(path) > MAX_DEPTH:
            return self._fault(mark, path[:3], _TOO_DEEP)
        if key not in self._built:
            self._open.add(key)
            built = self._convert(node, mark, path)
            self._open.discard(key)
            size = self._measure(built)
            if size > MAX_VALUES:
                built, size = self._fault(mark, path, f"more than {MAX_VALUES} values"), 0
            self._built[key], self._size[id(built)] = built, size
        return self._built[key]

    def _mark(self, node: YamlNode) -> Mark:
        return self.at(node.start_mark.line + 1, node.start_mark.column + 1)

    def _fault(self, mark: Mark, path: tuple[str | int, ...], message: str) -> Node:
        self.faults.append(Fault(mark, message, path))
        return Node(mark, FAULTY)

    def _measure(self, node: Node) -> int:
        children: Iterator[Node] = iter(())
        if isinstance(node.value, list):
            children = iter(node.value)
        elif isinstance(node.value, dict):
            children = (entry.node for entry in node.value.values())
        return 1 + sum(self._size.get(id(child), 1) for child in children)

    def _convert(self, node: YamlNode, mark: Mark, path: tuple[str | int, ...]) -> Node:
        if isinstance(node, ScalarNode):
            return self._scalar(node, mark, path)
        name = "seq" if isinstance(node, SequenceNode) else "map"
        if str(node.tag) != _TAG + name:
            return self._fault(mark, path, _bad_tag(node.tag))
        if isinstance(node, SequenceNode):
            return Node(mark, [self.build(n, (*path, i)) for i, n in enumerate(node.value)])
        assert isinstance(node, MappingNode)
        return Node(mark, self._mapping(node, path))

    def _scalar(self, node: ScalarNode, mark: Mark, path: tuple[str | int, ...]) -> Node:
        tag = str(node.tag).removeprefix(_TAG)
        if tag not in _SCALARS:
            return self._fault(mark, path, _bad_tag(node.tag))
        try:
            value = _SCALARS[tag](self.constructor, node)
        except (ValueError, KeyError, YAMLError):
            return self._fault(mark, path, f"'{shorten(node.value)}' can't be read as a number")
        if isinstance(value, str) and "\0" in value:
            return self._fault(mark, path, "a NUL character, which nothing can take; remove it")
        if isinstance(value, str) and _SURROGATE.search(value):
            return self._fault(mark, path, r"half a character; write it itself, not as \uD8…")
        if isinstance(value, int) and abs(value) >= 2**63:
            return self._fault(mark, path, "a number this large can't be used")
        if isinstance(value, float) and not math.isfinite(value):
            return self._fault(mark, path, "must be a finite number")
        return Node(mark, value)

    def _mapping(self, node: MappingNode, path: tuple[str | int, ...]) -> dict[str, TreeEntry]:
        entries: dict[str, TreeEntry] = {}
        merged: dict[str, TreeEntry] = {}
        for key, value in node.value:
            mark = self._mark(key)
            if str(key.tag) == _TAG + "merge":
                for name, entry in self._merge(value, path).items():
                    merged.setdefault(name, entry)
            elif not _is_word(key):
                shown = shorten(key.value) if isinstance(key, ScalarNode) else "a list or mapping"
                self._fault(mark, path, f"a key must be a word, found {shown or 'nothing'}")
            elif key.value in entries:
                first = entries[key.value].key
                self._fault(
                    mark, (*path, key.value), f"key is there twice; first on line {first.line}"
                )
            else:
                entries[key.value] = TreeEntry(mark, self.build(value, (*path, key.value)))
        return {**merged, **entries}

    def _merge(self, value: YamlNode, path: tuple[str | int, ...]) -> dict[str, TreeEntry]:
        parts = value.value if isinstance(value, SequenceNode) else [value]
        merged: dict[str, TreeEntry] = {}
        for part in parts:
            node = self.build(part, path)
            if not isinstance(node.value, dict):
                if node.value is not FAULTY:
                    self._fault(node.mark, path, "'<<' takes a mapping, like `<<: *anchor`")
                continue
            for name, entry in node.value.items():
                merged.setdefault(name, entry)
        return merged


def _is_word(key: YamlNode) -> bool:
    is_text = isinstance(key, ScalarNode) and str(key.tag) == _TAG + "str"
    return is_text and not _SURROGATE.search(key.value)


class _Faulty:
    """Stands for a value that was already complained about."""

    def __repr__(self) -> str:
        return "(mistake)"


FAULTY = _Faulty()


_SCALARS: dict[str, Callable[[SafeConstructor, ScalarNode], Scalar]] = {
    "str": lambda _, node: str(node.value),
    "timestamp": lambda _, node: str(node.value),
    "null": lambda _, node: None,
    "int": SafeConstructor.construct_yaml_int,
    "float": SafeConstructor.construct_yaml_float,
    "bool": SafeConstructor.construct_yaml_bool,
}


def _bad_tag(tag: object) -> str:
    return f"the tag '{str(tag).replace(_TAG, '!!')}' has no meaning here; remove it"
