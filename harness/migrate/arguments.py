"""A perf_analyzer command line as options with their places, read as getopt_long reads it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.migrate.draft import Draft
from harness.scenario.reading.tree import Mark
from harness.scenario.wording import nearest

PROGRAM = "perf_analyzer"
SOURCE = "command-line"
"""Stands for the file: line 1, and the column in the command as a shell would write it."""


@dataclass(frozen=True, slots=True)
class Given:
    """One option as it was written: its name in the table, spelling, value and place."""

    name: str
    spelled: str
    value: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class Spelling:
    """How an option is written: whether a value follows, and the name of its row."""

    name: str
    takes_value: bool


def read(argv: Sequence[str], known: Mapping[str, Spelling], draft: Draft) -> list[Given]:
    """The options of `argv` (without the program); what is wrong is noted in the draft.

    Long options may be cut as long as they are unique, take their value behind `=` or in the next
    word; short ones may stand together, and their value may follow at once.
    """
    found: list[Given] = []
    words = list(argv)
    before = [shlex.join([PROGRAM, *words[:i]]) for i in range(len(words))]
    columns = [len(text) + 2 for text in before]
    index = 0
    while index < len(words):
        mark = Mark(SOURCE, 1, columns[index])
        pairs = _split(words[index], known, mark, draft)
        if not pairs and words[index].startswith("-") and "=" not in words[index]:
            index += index + 1 < len(words) and not words[index + 1].startswith("-")  # its value
        for spelled, spelling, same_word in pairs:
            value = same_word
            if spelling.takes_value and value is None:
                index += 1
                if index == len(words):
                    draft.problem(mark, spelled, "needs a value")
                    break
                value, mark = words[index], Mark(SOURCE, 1, columns[index])
            found.append(Given(spelling.name, spelled, value or "", mark))
        index += 1
    return found


def _split(
    word: str, known: Mapping[str, Spelling], mark: Mark, draft: Draft
) -> list[tuple[str, Spelling, str | None]]:
    """The options of one word, each with the value that stands in the same word."""
    if word.startswith("--"):
        return _long(word, known, mark, draft)
    found: list[tuple[str, Spelling, str | None]] = []
    if len(word) < 2 or word[0] != "-":
        draft.problem(mark, word, "is no option; perf_analyzer takes options only")
        return found
    for position, letter in enumerate(word[1:], 1):
        spelling = known.get(f"-{letter}")
        if spelling is None:
            draft.problem(mark, f"-{letter}", "perf_analyzer has no such option")
            return found
        rest = word[position + 1 :]
        found.append((f"-{letter}", spelling, (rest or None) if spelling.takes_value else None))
        if spelling.takes_value:
            break
    return found


def _long(
    word: str, known: Mapping[str, Spelling], mark: Mark, draft: Draft
) -> list[tuple[str, Spelling, str | None]]:
    name, equals, value = word.partition("=")
    options = [option for option in known if option.startswith(name)]
    spelled = name if name in known else options[0] if len(options) == 1 else None
    if spelled is None:
        if options and name != "--":
            draft.problem(mark, name, f"may be {', '.join(options[:4])}; write it out")
        else:
            near = nearest(name, known)
            draft.problem(mark, name, "perf_analyzer has no such option", near)
        return []
    spelling = known[spelled]
    if equals and not spelling.takes_value:
        draft.problem(mark, spelled, f"takes no value, found '{value}'")
        return []
    return [(spelled, spelling, value if equals else None)]
