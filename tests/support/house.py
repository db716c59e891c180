"""What the house must hold, counted from the source: lines, lengths, `Any`, circles, mirrors.

`tests/unit/test_house.py` holds it to the limits; by hand:

python tests/support/house.py     prints what is over a limit, and the totals
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FILE_LINES, CLASS_LINES, FUNCTION_LINES = 400, 250, 40
CODE_LINES = 32_401
"""All of the package but `USES`: lower it when the package has become smaller. It was 30,000 before
memory limits, sweeps of dynamic sizes, the gap between native and served, and turns of two backends
that are compared came into the core; 66 lines came of connections under load, of drifts that have a
direction, and of ties that a tail decides."""
CODE_LINES_AIM = 22_500
"""What `CODE_LINES` is to come down to."""
USES = frozenset({
    "plan", "compare", "stress", "migrate", "fleet", "monitor", "validate", "doctor", "init",
    "infer", "profile", "inspect", "swarm", "tenants", "export", "explain",
})  # fmt: skip
"""Folders built on the measuring core, each of at most `USE_LINES`; `swarm` makes the load of
`stress`."""
USE_LINES = 3_100
ANY_SHARE = 0.05
ACROSS_MODULES = frozenset({
    "backends/test_worker_needs.py",  # what a worker's process imports, of five folders
    "report/test_foreign_run.py",  # a run directory of somebody else, in every output
    "results/test_damage.py",  # a damaged run directory in all that reads one
    "scenario/test_fuzz.py",  # from any text to a scenario or positions: reading, spec and rules
})  # fmt: skip
"""Tests below a package's folder that mirror no module, on purpose."""
SILENT = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
)  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A module: its path from the root, its text and its tree."""

    path: Path
    text: str
    tree: ast.Module


def parse(path: Path | str, text: str) -> Source:
    """A module from its text. Raises SyntaxError."""
    return Source(Path(path), text, ast.parse(text))


def sources(root: Path = ROOT) -> list[Source]:
    """Every module of the package `harness` below `root`."""
    paths = sorted((root / "harness").rglob("*.py"))
    return [parse(path.relative_to(root), path.read_text("utf-8")) for path in paths]


def code_lines(source: Source) -> int:
    """Lines that are neither blank, nor comment, nor docstring (of attributes too), nor `...`."""
    texts = source.text.splitlines()
    silent: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if texts[node.lineno - 1][: node.col_offset].strip():
                continue  # `class Empty: ...` has code before it
            silent |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in SILENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - silent)


def lines_of_rooms(modules: Iterable[Source]) -> dict[str, int]:
    """Code lines of each of `USES`, and of all the rest as `core`."""
    counted = dict.fromkeys(("core", *sorted(USES)), 0)
    for source in modules:
        room = source.path.parts[1]
        counted[room if room in USES else "core"] += code_lines(source)
    return counted


def too_long(source: Source) -> Iterator[str]:
    """Files, classes and functions over their limit."""
    if (lines := len(source.text.splitlines())) > FILE_LINES:
        yield f"{source.path}: {lines} lines"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef | Function):
            lines = (node.end_lineno or 0) - node.lineno + 1
            limit = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
            if lines > limit:
                yield f"{source.path}:{node.lineno}: {node.name} has {lines} lines"


def signatures(source: Source) -> tuple[int, list[str]]:
    """How many functions a module has, and where those stand that say `Any`."""
    functions = [n for n in ast.walk(source.tree) if isinstance(n, Function)]
    loose = [f"{source.path}:{f.lineno}: {f.name}" for f in functions if _says_any(f)]
    return len(functions), loose


def _says_any(function: Function) -> bool:
    a = function.args
    arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg]
    notes = [x.annotation for x in arguments if x is not None and x.annotation is not None]
    notes += [function.returns] if function.returns is not None else []
    return any(_is_any(node) for note in notes for node in ast.walk(note))


def _is_any(node: ast.AST) -> bool:
    """`Any`, `typing.Any`, or either in an annotation that is a string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return any(_is_any(inner) for inner in ast.walk(ast.parse(node.value, mode="eval")))
        except SyntaxError:  # a word of a Literal
            return False
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name == "Any"


def any_share(modules: Iterable[Source]) -> float:
    """The share of signatures that say `Any`."""
    counts = [signatures(source) for source in modules]
    return sum(len(loose) for _, loose in counts) / max(1, sum(n for n, _ in counts))


def _mirrored(root: Path) -> dict[str, str]:
    """Modules with code, from the root, and the tests that mirror them, from tests/unit."""
    found = {}
    for path in sorted((root / "harness").rglob("*.py")):
        inside = path.relative_to(root / "harness")
        if inside.name not in ("__init__.py", "__main__.py") and "templates" not in inside.parts:
            mirror = inside.parent / f"test_{inside.name}"
            found[str(path.relative_to(root))] = str(mirror)
    return found


def without_mirror(root: Path = ROOT) -> list[str]:
    """Modules that no `tests/unit/<package>/test_<module>.py` mirrors."""
    unit = root / "tests/unit"
    return [module for module, test in _mirrored(root).items() if not (unit / test).exists()]


def without_module(root: Path = ROOT, across: Collection[str] = ACROSS_MODULES) -> list[str]:
    """Tests below a package's folder that mirror no module and are not in `across`."""
    unit = root / "tests/unit"
    tests = {str(path.relative_to(unit)) for path in unit.glob("*/**/test_*.py")}
    return sorted(tests - set(_mirrored(root).values()) - set(across))


def circles(package: str = "harness") -> list[list[str]]:
    """Groups of modules that import one another, imports for type checking included."""
    import grimp

    graph = grimp.build_graph(package, cache_dir=None)
    return groups({m: graph.find_modules_directly_imported_by(m) for m in graph.modules})


def groups(imports: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Of what each imports: those that reach one another, each group sorted."""
    reached: dict[str, set[str]] = {}
    for module in imports:
        seen, left = set[str](), [module]
        while left:
            for other in set(imports[left.pop()]) - seen:
                seen.add(other)
                left.append(other)
        reached[module] = seen
    circular = {m for m in imports if m in reached[m]}
    mutual = {frozenset(o for o in circular & reached[m] if m in reached[o]) for m in circular}
    return sorted(sorted(group) for group in mutual)


def main() -> None:
    """Print what is over a limit, and the totals."""
    modules = sources()
    for text in (t for s in modules for t in too_long(s)):
        print(text)
    for group in circles():
        print("circle:", ", ".join(group))
    per: dict[str, list[int]] = {}
    for source in modules:
        number, loose = signatures(source)
        row = per.setdefault(source.path.parts[1], [0, 0, 0])
        row[0] += code_lines(source)
        row[1] += len(loose)
        row[2] += number
    for top, (lines, any_, all_) in sorted(per.items()):
        print(f"{top:16} {lines:6} lines of code, Any in {any_} of {all_} signatures")
    lines = sum(row[0] for top, row in per.items() if top not in USES)
    print(f"code lines: {lines} (at most {CODE_LINES}, to become {CODE_LINES_AIM})")
    print(f"Any: {any_share(modules):.1%} of the signatures (at most {ANY_SHARE:.0%})")
    print("modules without a mirror:", ", ".join(without_mirror()) or "none")
    print("tests without a module:", ", ".join(without_module()) or "none")


if __name__ == "__main__":
    main()
