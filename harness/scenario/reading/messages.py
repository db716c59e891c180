"""Pydantic's errors in plain words: what is wrong and what may stand there instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic_core import ErrorDetails

from harness.scenario import kinds
from harness.scenario.reading import walk
from harness.scenario.spec.backend import all_settings
from harness.scenario.spec.fields import as_tuple
from harness.scenario.spec.scenario import Scenario
from harness.scenario.wording import describe, nearest, shorten

_PATTERNS = {
    "A-Za-z0-9_.+-": "must be made of letters, digits and . _ + -, starting with a letter or digit",
    r"[\w.]*:": "must look like package.module:callable",
    "cuda(": "must be cpu, cuda, cuda:N, or the UUID of a GPU or MIG device",
    "current|": "must be current, or like 9.0",
    "https?": "must look like host:port or http://host:port/metrics, with a port up to 65535",
    "6553": "must look like host:port, without http://, with a port up to 65535",
}
"""Part of a field's pattern → what the pattern means."""

_EXPECTED = {
    "int": "a whole number", "float": "a number", "string": "text", "bool": "true or false",
    "model": "a mapping (key: value)", "model_attributes": "a mapping (key: value)",
    "dict": "a mapping (key: value)", "tuple": "a list", "list": "a list",
}  # fmt: skip
"""Pydantic's `…_type` errors → what should stand there."""

_TRUE, _FALSE = ("true", "yes", "on", "y", "1"), ("false", "no", "off", "n", "0")
_BOOLEANS = {**dict.fromkeys(_TRUE, "true"), **dict.fromkeys(_FALSE, "false")}

Context = Mapping[str, object]
"""What pydantic says of an error beside its type."""
UNKNOWN = "can't be used here"
"""Said of an error type that has no words of its own; the fuzz test checks that none is left."""


@dataclass(frozen=True, slots=True)
class Words:
    """What is wrong at a path, whether the mark belongs on the key, and what may be meant."""

    path: walk.Loc
    message: str
    suggestion: str | None = None
    on_key: bool = False
    holder: walk.Loc = ()
    lacks: tuple[str, ...] = ()
    """Keys of the mapping at `holder` that are missed: not said where one is only misspelt."""


def explain(error: ErrorDetails) -> Words:
    """The words for one of `ValidationError.errors()`."""
    place = walk.follow(error["loc"])
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in _SPECIAL:
        return _SPECIAL[kind](place, error["input"], context)
    if kind.removesuffix("_type") in _EXPECTED:
        return _wrong_type(place, error["input"], _EXPECTED[kind.removesuffix("_type")])
    message = _BOUNDS[kind](context, describe(error["input"])) if kind in _BOUNDS else UNKNOWN
    return Words(place.path, message)


_BOUNDS: dict[str, Callable[[Context, str], str]] = {
    "greater_than": lambda c, v: f"must be greater than {_n(c['gt'])}, found {v}",
    "greater_than_equal": lambda c, v: f"must be at least {_n(c['ge'])}, found {v}",
    "less_than": lambda c, v: f"must be less than {_n(c['lt'])}, found {v}",
    "less_than_equal": lambda c, v: f"must be at most {_n(c['le'])}, found {v}",
    "finite_number": lambda c, v: "must be a finite number",
    "too_short": lambda c, v: "must not be empty",
    "string_too_short": lambda c, v: "must not be empty",
    "too_long": lambda c, v: f"must have {c['max_length']} values, not more",
    "string_too_long": lambda c, v: f"is longer than {c['max_length']} characters",
    "value_error": lambda c, v: str(c["error"]),
    "string_unicode": lambda c, v: "holds a character that is none",
}


def _n(number: object) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _wrong_type(place: walk.Place, found: object, expected: str) -> Words:
    suggestion = None
    if found is None and "mapping" in expected:
        return Words(place.path, "is empty; fill it, or remove the key")
    if expected == "true or false" and isinstance(found, str):
        suggestion = _BOOLEANS.get(found.strip().lower())
    message = f"expected {expected}, found {describe(found)}"
    if expected == "text" and isinstance(found, int | float) and not isinstance(found, bool):
        message += "; put it in quotes"
    if "mapping" in expected and place.path[:1] == ("backends",) and str(found) in kinds.SETTINGS:
        message += f"; write {{kind: {found}}}"
    if "number" in expected and isinstance(found, str) and _is_number(found):
        message += "; remove the quotes"
    return Words(place.path, message, suggestion)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unknown_key(place: walk.Place, found: object, context: Context) -> Words:
    key = str(place.path[-1])
    allowed = list(place.parent.model_fields) if place.parent else []
    if place.parent is not Scenario and (inner := walk.homes(key, place.parent)):
        return Words(place.path, f"unknown key; it belongs in {inner[0]}", on_key=True)
    if suggestion := nearest(key, allowed):
        return Words(place.path, "unknown key", suggestion, on_key=True)
    return Words(place.path, _stray(key, place, allowed), on_key=True)


def _stray(key: str, place: walk.Place, allowed: list[str]) -> str:
    known = all_settings()
    if place.parent in known.values():
        if users := [k for k, cls in known.items() if key in cls.model_fields]:
            return f"unknown key; it goes with {' and '.join(users)} backends"
    elif homes := [h for h in walk.homes(key) if h != "backends"][:1]:
        return f"unknown key; it belongs in {homes[0]}"
    return f"unknown key; known: {', '.join(allowed)}" if allowed else "unknown key; write `{}`"


def _missing(place: walk.Place, found: object, context: Context) -> Words:
    if isinstance(place.path[-1], int):
        return Words(place.path[:-1], f"has {len(as_tuple(found) or ())} values, too few")
    options = walk.words(place.annotation)
    hint = f": one of {', '.join(options)}" if options else ""
    *holder, key = place.path
    message = f"this key is missing{hint}"
    return Words(place.path, message, holder=tuple(holder), lacks=(str(key),))


def _not_a_word(place: walk.Place, found: object, context: Context) -> Words:
    options = walk.words(place.annotation)
    message = f"must be one of {', '.join(options)}, found {describe(found)}"
    return Words(place.path, message, nearest(str(found), options) if _is_word(found) else None)


def _is_word(found: object) -> bool:
    return isinstance(found, str | bool | int | float)


def _bad_kind(place: walk.Place, found: object, context: Context) -> Words:
    kind = found.get("kind") if isinstance(found, Mapping) else None
    return unknown_kind((*place.path, "kind"), kind)


def unknown_kind(path: walk.Loc, kind: object) -> Words:
    """The words for a backend whose kind is none of `kinds.SETTINGS`."""
    if isinstance(kind, str) and kind:
        message = f"unknown backend kind '{shorten(kind)}'; kinds: {', '.join(kinds.SETTINGS)}"
        return Words(path, message, nearest(kind, kinds.SETTINGS))
    return Words(path, f"must be one of {', '.join(kinds.SETTINGS)}, found {describe(kind)}")


def _no_kind(place: walk.Place, found: object, context: Context) -> Words:
    message = f"this key is missing: one of {', '.join(kinds.SETTINGS)}"
    return Words((*place.path, "kind"), message, holder=place.path, lacks=("kind",))


def _pattern(place: walk.Place, found: object, context: Context) -> Words:
    meaning = next((w for part, w in _PATTERNS.items() if part in str(context["pattern"])), UNKNOWN)
    suggestion = nearest(str(found), ("cpu", "cuda")) if "cuda" in meaning else None
    return Words(place.path, f"{meaning}, found {describe(found)}", suggestion)


_SPECIAL: dict[str, Callable[[walk.Place, object, Context], Words]] = {
    "extra_forbidden": _unknown_key,
    "missing": _missing,
    "literal_error": _not_a_word,
    "union_tag_invalid": _bad_kind,
    "union_tag_not_found": _no_kind,
    "string_pattern_mismatch": _pattern,
}
