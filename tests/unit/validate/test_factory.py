"""What a factory's text shows, in the words of the import and the call, with nothing imported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.validate.factory import check_factory

MODEL = """
import os
raise_when_imported = 1 / 0
if os.name == "posix":
    from collections import OrderedDict as also
def make(size: "not.there" = os.nothing, *, depth, **more): ...
def plain(a, b): ...
class Net:
    def __init__(self, size: int) -> None: ...
class Inherits(Net): ...
@os.decorated
def decorated(): ...
def twice(a): ...
twice = plain
for looped in ():
    pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text_only.py").write_text(MODEL)
    (tmp_path / "broken_text.py").write_text("def make(:\n")
    (tmp_path / "starred_text.py").write_text("from os import *\n")
    (tmp_path / "dynamic_text.py").write_text("def __getattr__(name): ...\n")
    (tmp_path / "packed_text").mkdir()
    (tmp_path / "packed_text" / "__init__.py").write_text("1 / 0\n")
    (tmp_path / "packed_text" / "inner.py").write_text("def make(n=1): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    ("ref", "kwargs", "words"),
    [
        ("nowhere_text:make", {}, r"can't import nowhere_text: ModuleNotFoundError: No module"),
        ("packed_text.no:make", {}, r"ModuleNotFoundError: No module named 'packed_text\.no'"),
        ("broken_text:make", {}, r"SyntaxError: invalid syntax \(broken_text\.py, line 1\)"),
        ("text_only:mke", {}, "text_only has no 'mke'; did you mean 'make'"),
        ("packed_text.inner:other", {}, r"packed_text\.inner has no 'other'"),
        ("text_only:make", {}, r"make\(\) missing 1 required keyword-only argument: 'depth'"),
        ("text_only:plain", {"a": 1}, r"plain\(\) missing 1 required positional argument: 'b'"),
        ("text_only:plain", {"a": 1, "b": 2, "c": 3}, "got an unexpected keyword argument 'c'"),
        ("text_only:Net", {}, r"Net\.__init__\(\) missing 1 required positional argument: 'size'"),
        ("packed_text.inner:make", {"m": 1}, "got an unexpected keyword argument 'm'"),
    ],
)
def test_what_is_wrong(folder: Path, ref: str, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_factory(ref, kwargs, folder)
    assert not {path.stem for path in folder.iterdir()} & set(sys.modules)


@pytest.mark.parametrize(
    ("ref", "kwargs"),
    [
        ("text_only:make", {"depth": 1, "size": 2, "else": 3}),
        ("text_only:Net", {"size": 1}),
        ("text_only:Inherits", {"anything": 1}),
        ("text_only:decorated", {"anything": 1}),
        ("text_only:twice", {"anything": 1}),
        ("text_only:also", {"anything": 1}),
        ("text_only:looped", {}),
        ("starred_text:getcwd", {}),
        ("dynamic_text:whatever", {}),
        ("packed_text.inner:make", {"n": 2}),
        ("sys:exit", {}),
        ("json.decoder:JSONDecoder", {}),
    ],
)
def test_what_may_be_right_passes(folder: Path, ref: str, kwargs: dict[str, Any]) -> None:
    check_factory(ref, kwargs, folder)
