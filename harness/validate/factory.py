"""A `module:callable` factory by its file's text, with nothing imported: what is plainly wrong."""

from __future__ import annotations

import ast
import importlib.util
import symtable
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import TypeAlias

from harness.errors import UsageError
from harness.system.packages import cant_import, no_attribute

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_DYNAMIC = frozenset({"__getattr__", "globals", "setattr", "exec"})
"""A module that uses one of these may have names that its text does not show."""


def check_factory(ref: str, kwargs: Mapping[str, object], base: Path) -> None:
    """Raise UsageError, in the words of the import and the call, for what they would refuse.

    A module or name that is not there, a syntax error, arguments that don't fit. What only running
    the module shows passes.
    """
    name, _, attribute = ref.partition(":")
    try:
        path = _file(name, [str(base), str(Path.cwd())])
        text = "" if path is None else path.read_text("utf-8")
        tree = ast.parse(text, "" if path is None else path.name)
    except (ModuleNotFoundError, SyntaxError) as error:
        raise cant_import(name, error) from None
    nodes = list(ast.walk(tree))
    stars = any(isinstance(n, ast.alias) and n.name == "*" for n in nodes)
    table = symtable.symtable(text, name, "exec")
    if path is None or stars or _DYNAMIC & set(table.get_identifiers()):
        return
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    if attribute not in bound:
        raise no_attribute(name, attribute, bound)
    found = [n for n in nodes if attribute in (getattr(n, "name", ""), getattr(n, "id", ""))]
    defined = [n for n in tree.body if isinstance(n, Definition) and n in found]
    again = [n for n in found if not isinstance(getattr(n, "ctx", None), ast.Load)]
    if len(defined) == len(again) == 1 and not defined[0].decorator_list:
        try:
            _call(defined[0], kwargs)
        except TypeError as error:
            words = f"model.source.torch: {ref} raised TypeError: {error}"
            raise UsageError(words) from None


def _file(name: str, more: list[str]) -> Path | None:
    """The source file of a module, `more` folders searched last; None where it has none to read.

    Raises ModuleNotFoundError. No package is imported on the way, as `find_spec` alone would.
    """
    top, *rest = name.split(".")
    spec: ModuleSpec | None = getattr(sys.modules.get(top), "__spec__", None)
    spec = spec or importlib.util.find_spec(top) or PathFinder.find_spec(top, more)
    for part in rest:
        if spec is not None:
            top = f"{top}.{part}"
            spec = PathFinder.find_spec(top, spec.submodule_search_locations or [])
    if spec is None:
        raise ModuleNotFoundError(f"No module named '{top}'", name=top)
    plain = type(spec.loader) is SourceFileLoader and spec.origin
    return Path(spec.origin) if plain and spec.origin else None


def _call(node: Definition, kwargs: Mapping[str, object]) -> None:
    """Call a function, or a class's own `__init__`, that takes the same arguments and does nothing.

    Raises TypeError in Python's own words. Of a class that inherits its own nothing is known.
    """
    made = [node] if not isinstance(node, ast.ClassDef) else [
        n for n in node.body if isinstance(n, Definition) and n.name in ("__init__", "__new__")
    ]  # fmt: skip
    if len(made) != 1 or isinstance(made[0], ast.ClassDef) or made[0].decorator_list:
        return
    given = made[0].args
    given.defaults = [ast.Constant(None) for _ in given.defaults]
    given.kw_defaults = [d and ast.Constant(None) for d in given.kw_defaults]
    for argument in (n for n in ast.walk(given) if isinstance(n, ast.arg)):
        argument.annotation = None
    text = f"def {made[0].name}({ast.unparse(given)}): pass"
    scope: dict[str, object] = {}
    text = text if made[0] is node else f"class {node.name}:\n {text}"
    exec(text, scope)  # noqa: S102 - names of arguments only, no value of theirs
    function = scope[node.name]
    assert callable(function)
    function(**kwargs)
