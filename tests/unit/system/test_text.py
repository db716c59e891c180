"""Texts from outside, made harmless."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import harness
from harness.cli.main import COMMANDS
from harness.system.text import every_text, harmless, harness_command


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"), ("a\0b", r"a\x00b"), ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b2J", r"\x9b2J"), ("\x7f\b", r"\x7f\x08"), ("a\rb", r"a\rb"), ("\u2066", r"\u2066"),
        ("\ufeff", r"\ufeff"), ("\ud800", r"\ud800"), ("\u2028", r"\u2028"), ("\uffff", r"\uffff"),
    ],
)  # fmt: skip
def test_controls_are_shown_as_their_code(text, shown):
    assert harmless(text) == shown
    assert harmless(shown) == shown


@pytest.mark.parametrize("text", ["a\n\tb", "a\r\nb", "µ±–…", "שלום", "👩‍🔬", "C:\\x1b"])
def test_other_text_stays(text):
    assert harmless(text) == text


def test_texts_in_everything_that_json_has():
    found = every_text({"\0": ["\0", {"a": ("\0", 1, None)}], "b": 1.5}, harmless)
    assert found == {r"\x00": [r"\x00", {"a": (r"\x00", 1, None)}], "b": 1.5}


def test_a_command_is_quoted_as_the_shell_reads_it():
    assert harness_command("run", "--resume", Path("a/b")) == "harness run --resume a/b"
    odd = harness_command("report", Path("my runs/$(b); 'c'"))
    assert shlex.split(odd) == ["harness", "report", "my runs/$(b); 'c'"]


def test_no_command_that_is_shown_is_put_together_by_hand():
    name = rf"\bharness ({'|'.join(COMMANDS)})"
    may_stand = "[A-Z_]+|name"  # constants, and the name of a suite of tests
    by_hand = re.compile(name + rf"( [^ {{}}`;,()]+)* {{(?!({may_stand})}})")
    for path in Path(harness.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                said = ast.unparse(node)
                assert not by_hand.search(said), f"{path}:{node.lineno}: {said}"
