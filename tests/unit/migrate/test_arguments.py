"""A command line is read as getopt_long reads it, with the column of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.migrate.arguments import read
from harness.migrate.draft import Draft
from harness.migrate.perf_analyzer import SPELLINGS


def parsed(*argv: str) -> tuple[list[tuple[str, str]], list[str]]:
    draft = Draft("n", Path(), "x")
    found = [(g.name, g.value) for g in read(argv, SPELLINGS, draft)]
    return found, [str(p) for p in draft.problems]


@pytest.mark.parametrize(
    ("argv", "means"),
    [
        (["-m", "net"], [("model-name", "net")]),
        (["-mnet"], [("model-name", "net")]),
        (["-vv"], [("verbose", ""), ("verbose", "")]),
        (["-vam", "net"], [("verbose", ""), ("async", ""), ("model-name", "net")]),
        (["--shape=a:1", "--shape", "b:2"], [("shape", "a:1"), ("shape", "b:2")]),
        (["--stab", "5"], [("stability-percentage", "5")]),
        (["--percentile", "-1"], [("percentile", "-1")]),
        (["--input-data="], [("input-data", "")]),
        (["-p", "9", "--measurement-interval=8"],
         [("measurement-interval", "9"), ("measurement-interval", "8")]),
    ],
)  # fmt: skip
def test_options_are_read(argv: list[str], means: list[tuple[str, str]]) -> None:
    assert parsed(*argv) == (means, [])


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["-b"], "command-line:1:15: -b: needs a value"),
        (["-m", "n", "net"], "command-line:1:20: net: is no option"),
        (["-m", "n", "-y"], "command-line:1:20: -y: perf_analyzer has no such option"),
        (["--concurency-range", "1"], "did you mean '--concurrency-range'?"),
        (["--measurement", "1"], "may be --measurement-"),
        (["--sync=1"], "takes no value"),
    ],
)
def test_what_is_wrong_has_its_column(argv: list[str], says: str) -> None:
    (problem,) = parsed(*argv)[1]
    assert says in problem


def test_columns_count_quotes_as_a_shell_writes_them() -> None:
    problem = parsed("-m", "two words", "-y")[1][0]
    assert problem.startswith(
        f"command-line:1:{1 + len('perf_analyzer -m ' + repr('two words') + ' ')}:"
    )
