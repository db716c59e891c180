"""What the house must hold, counted from the source: lines, lengths, `Any`, circles, mirrors.

python tests/support/house.py     prints what is over a limit, and the totals
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "harness"
FILE_LINES, CLASS_LINES, FUNCTION_LINES = 400, 250, 40
CODE_LINES = 22_500
ANY_SHARE = 0.05
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


def sources() -> list[Source]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text("utf-8")
        found.append(Source(path.relative_to(ROOT), text, ast.parse(text)))
    return found


def code_lines(source: Source) -> int:
    """Lines that are neither blank, nor comment, nor docstring (of attributes too)."""
    told: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            told |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type not in SILENT:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - told)


def too_long(source: Source) -> Iterator[str]:
    """Files, classes and functions over their limit."""
    if (lines := source.text.count("\n")) > FILE_LINES:
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
    names = (n for note in notes for n in ast.walk(note))
    return any(isinstance(n, ast.Name) and n.id == "Any" for n in names)


def without_mirror() -> list[str]:
    """Modules that no `tests/unit/<package>/test_<module>.py` mirrors; empty ones need none."""
    missing = []
    for source in sources():
        inside = source.path.relative_to("harness")
        if inside.name in ("__init__.py", "__main__.py") or "templates" in inside.parts:
            continue
        if not (ROOT / "tests/unit" / inside.parent / f"test_{inside.name}").exists():
            missing.append(str(source.path))
    return missing


def circles() -> list[list[str]]:
    """Groups of modules that import one another, imports for type checking included."""
    import grimp

    graph = grimp.build_graph("harness", cache_dir=None)
    below = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    reached: dict[str, set[str]] = {}
    for module in below:
        seen, left = set[str](), [module]
        while left:
            for other in below[left.pop()] - seen:
                seen.add(other)
                left.append(other)
        reached[module] = seen
    groups = {frozenset(o for o in reached[m] if m in reached[o]) for m in below if m in reached[m]}
    return sorted(sorted(group) for group in groups)


def main() -> None:
    """Print what is over a limit, and the totals."""
    modules = sources()
    for text in (t for s in modules for t in too_long(s)):
        print(text)
    for group in circles():
        print("circle:", ", ".join(group))
    counts = [signatures(s) for s in modules]
    functions = sum(n for n, _ in counts)
    loose = [where for _, found in counts for where in found]
    per: dict[str, list[int]] = {}
    for s, (n, found) in zip(modules, counts, strict=True):
        top = s.path.parts[1]
        row = per.setdefault(top, [0, 0, 0])
        row[0] += code_lines(s)
        row[1] += len(found)
        row[2] += n
    for top, (lines, any_, all_) in sorted(per.items()):
        print(f"{top:16} {lines:6} lines of code, Any in {any_} of {all_} signatures")
    print(f"code lines: {sum(r[0] for r in per.values())} (at most {CODE_LINES})")
    print(f"Any: {len(loose)} of {functions} = {len(loose) / functions:.1%} (at most 5 %)")
    print(f"modules without a mirror: {len(without_mirror())}")


if __name__ == "__main__":
    main()
