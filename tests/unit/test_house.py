"""What the house must hold; and that each check of `support.house` can fail, on planted sources."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
from support import house

# ------------------------------------------------------------------------------------- the house


@pytest.fixture(scope="module")
def modules() -> list[house.Source]:
    return house.sources()


def test_files_classes_and_functions_are_short(modules: list[house.Source]) -> None:
    assert [text for source in modules for text in house.too_long(source)] == []


def test_any_is_rare(modules: list[house.Source]) -> None:
    assert house.any_share(modules) <= house.ANY_SHARE


def test_the_package_does_not_grow(modules: list[house.Source]) -> None:
    """The core's aim is 22,500 (`CODE_LINES_AIM`); what is built on it has its own measure."""
    rooms = house.lines_of_rooms(modules)
    assert rooms.pop("core") <= house.CODE_LINES
    assert house.CODE_LINES_AIM <= house.CODE_LINES
    assert set(rooms) == house.USES
    assert max(rooms.values()) <= house.USE_LINES


def unpicklers(modules: list[house.Source]) -> set[str]:
    """Modules that import what reads objects with code in them, or calls it by another's name."""
    code = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    talks = {"multiprocessing.connection", "multiprocessing.managers", "multiprocessing.queues"}
    found = set()
    for source in modules:
        for node in ast.walk(source.tree):
            names = (
                {a.name for a in node.names} if isinstance(node, ast.Import)
                else {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
            )  # fmt: skip
            if any(n.split(".")[0] in code or n in talks for n in names):
                found.add(str(source.path))
    return found


def test_no_process_unpickles_what_another_says(modules: list[house.Source]) -> None:
    """One module knows pickle's error, which PyTorch raises for a program that holds code."""
    assert unpicklers(modules) == {"harness/models/program.py"}


def test_an_unpickler_would_be_seen() -> None:
    planted = [house.parse(f"{n}.py", text) for n, text in enumerate((
        "import pickle", "from pickle import loads", "import multiprocessing.connection as c",
        "def f():\n    import cloudpickle",
        "import json", "from multiprocessing import shared_memory",
    ))]  # fmt: skip
    assert unpicklers(planted) == {"0.py", "1.py", "2.py", "3.py"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert house.circles() == []


def test_every_module_has_its_test_and_every_test_its_module() -> None:
    assert house.without_mirror() == []
    assert house.without_module() == []


# ------------------------------------------------------------------------------------- the checks


def test_lines_are_counted_by_room() -> None:
    modules = [house.parse(f"harness/{room}/a.py", "a = 1\n") for room in ("load", "run", "plan")]
    assert house.lines_of_rooms(modules) == {**dict.fromkeys(house.USES, 0), "core": 2, "plan": 1}


def planted(text: str) -> house.Source:
    return house.parse("harness/a/b.py", textwrap.dedent(text))


def body(lines: int, head: str) -> str:
    """`head` and so many lines below it."""
    return head + "\n" + "    x = 1\n" * lines


@pytest.mark.parametrize(
    ("head", "limit", "said"),
    [
        ("def f():", house.FUNCTION_LINES, "f has 41 lines"),
        ("async def f():", house.FUNCTION_LINES, "f has 41 lines"),
        ("class C:", house.CLASS_LINES, "C has 251 lines"),
    ],
)
def test_what_is_a_line_over_its_limit_is_too_long(head: str, limit: int, said: str) -> None:
    assert list(house.too_long(planted(body(limit - 1, head)))) == []
    assert list(house.too_long(planted(body(limit, head)))) == [f"harness/a/b.py:1: {said}"]


def test_what_stands_within_is_measured_too() -> None:
    method = textwrap.indent(body(house.FUNCTION_LINES, "def f(self):"), "    ")
    assert list(house.too_long(planted("class C:\n" + method))) == [
        "harness/a/b.py:2: f has 41 lines"
    ]


def test_a_file_is_as_long_as_its_lines_comments_and_all() -> None:
    full = "# c\n" * house.FILE_LINES
    assert list(house.too_long(planted(full))) == []
    assert list(house.too_long(planted(full + "x = 1"))) == ["harness/a/b.py: 401 lines"]


def test_code_lines_leave_out_what_only_explains() -> None:
    text = '''
        """A docstring
        of two lines."""

        # a comment
        import a  # counts, once

        LIMIT = 3
        """What it limits."""
        TEXT = """two
        lines"""


        class Empty: ...


        def f(
            x: int,
        ) -> int:
            """Of f."""
            ...
            return (
                x

                + 1
            )
    '''
    # import, LIMIT, TEXT (2), Empty, def (3), return (4: the blank line within says nothing)
    assert house.code_lines(planted(text)) == 12


@pytest.mark.parametrize(
    ("signature", "loose"),
    [
        ("f(x: Any)", True), ("f(x: Any, /)", True), ("f(*, x: Any)", True),
        ("f(*x: Any)", True), ("f(**x: Any)", True), ("f() -> Any", True),
        ("f(x: dict[str, list[Any]] | None)", True), ("f(x: typing.Any)", True),
        ("f(x: 'list[Any]')", True), ("f(x: list['Any'])", True),
        ("f(x: object) -> None", False), ("f(x: Literal['a b', 'Anything'])", False),
        ("f(x, y=Any)", False), ("f(Any: int)", False),
    ],
)  # fmt: skip
def test_a_signature_that_says_any_is_loose(signature: str, loose: bool) -> None:
    name, _, rest = signature.partition("(")
    source = planted(f"x: Any = 1\nclass C:\n    async def {name}({rest}: ...\n")
    assert house.signatures(source) == (1, ["harness/a/b.py:3: f"] if loose else [])


def test_the_share_of_any_is_over_all_modules() -> None:
    loose, tight = planted("def f(x: Any): ..."), planted("def f(): ...\ndef g(): ...\n")
    assert house.any_share([loose, tight, tight]) == pytest.approx(1 / 5)
    assert house.any_share([]) == 0.0


def tree(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    return root


def test_modules_and_tests_mirror_each_other(tmp_path: Path) -> None:
    root = tree(
        tmp_path, "harness/__init__.py", "harness/__main__.py", "harness/top.py",
        "harness/a/__init__.py", "harness/a/b.py", "harness/a/c.py", "harness/a/d/e.py",
        "harness/a/templates/model.py", "tests/unit/test_house.py", "tests/unit/a/test_b.py",
        "tests/unit/a/d/test_c.py", "tests/unit/a/test_many.py", "tests/unit/a/conftest.py",
    )  # fmt: skip
    assert house.without_mirror(root) == ["harness/a/c.py", "harness/a/d/e.py", "harness/top.py"]
    assert house.without_module(root) == ["a/d/test_c.py", "a/test_many.py"]
    assert house.without_module(root, across={"a/test_many.py"}) == ["a/d/test_c.py"]
    assert [str(s.path) for s in house.sources(root)][-1] == "harness/top.py"


def test_what_may_mirror_nothing_is_there() -> None:
    for test in house.ACROSS_MODULES:
        assert (house.ROOT / "tests/unit" / test).exists(), test


@pytest.mark.parametrize(
    ("imports", "expected"),
    [
        ({"a": "b", "b": "c", "c": ""}, []), ({"a": "bc", "b": "c", "c": ""}, []),
        ({"a": "a"}, [["a"]]), ({"a": "b", "b": "a"}, [["a", "b"]]),
        ({"c": "a", "a": "b", "b": "c", "d": "a", "e": ""}, [["a", "b", "c"]]),
        ({"a": "b", "b": "ac", "c": "d", "d": "c"}, [["a", "b"], ["c", "d"]]),
    ],
)  # fmt: skip
def test_a_circle_is_what_reaches_itself(imports: dict[str, str], expected: list[object]) -> None:
    assert house.groups(imports) == expected


def test_an_import_for_type_checking_closes_a_circle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "planted_house"
    tree(package, "__init__.py", "low.py")
    (package / "high.py").write_text("from planted_house import low\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert house.circles("planted_house") == []
    (package / "low.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from planted_house.high import Thing\n"
    )
    assert house.circles("planted_house") == [["planted_house.high", "planted_house.low"]]
