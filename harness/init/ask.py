"""Questions on a terminal; with `--yes` every answer is the default."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import click

from harness.errors import UsageError
from harness.init.write import Choices
from harness.models.tensors import TensorSpec
from harness.scenario.spec.model import Input

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks on standard error, so that standard output stays the answer."""

    yes: bool

    def text(self, question: str, default: str = "") -> str:
        """One line. Raises UsageError where there is no default, and nobody can be asked."""
        if self.yes and default:
            return default
        if self.yes or not sys.stdin.isatty():
            raise UsageError(
                f"{question.rstrip('?')}: nobody can be asked here",
                fix="--yes takes what would be proposed" if default else "harness init SOURCE",
            )
        return str(click.prompt(question, default=default or None, err=True))

    def choose(self, what: str, names: Sequence[str]) -> str:
        """One of several; there is no default: which is meant can't be known."""
        if self.yes or not sys.stdin.isatty():
            raise UsageError(f"{what}: {', '.join(names)}", fix="say which: --model NAME")
        choice = click.Choice(list(names))
        return str(click.prompt(f"{what}; which?", type=choice, err=True))

    def until(self, question: str, default: str, read: Callable[[str], T]) -> T:
        """An answer that can be read; with `yes` the default, which can."""
        if self.yes:
            return read(default)
        while True:
            try:
                return read(self.text(question, default))
            except ValueError as error:
                click.echo(f"  {error}", err=True)


def refine(asker: Asker, choices: Choices, fixed: bool) -> Choices:
    """Ask for the loads and the constraint."""
    if not fixed:
        sizes = asker.until("Items in one request", _join(choices.batch_sizes), counts)
        choices = replace(choices, batch_sizes=sizes)
    callers = asker.until("Callers at once", _join(choices.concurrency), counts)
    limit = asker.until("Most that p99 may be, in ms (- to fill it in later)", "-", milliseconds)
    return replace(choices, concurrency=callers, p99_ms=limit)


def _join(values: Sequence[int]) -> str:
    return ",".join(map(str, values))


def counts(text: str) -> list[int]:
    """`1,4,16`. Raises ValueError."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) <= 10**6 for word in words):
        raise ValueError(f"expected numbers like 1,4,16; found '{text}'")
    return sorted({int(word) for word in words})


def milliseconds(text: str) -> float | None:
    """A number above zero, or `-` for none. Raises ValueError."""
    if text.strip() in ("", "-"):
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise ValueError(f"expected milliseconds like 50, or -; found '{text}'")
    return value


def input_spec(text: str) -> TensorSpec:
    """`NAME=DTYPE:SIZE,SIZE,…`, as `--input` says it. Raises UsageError."""
    name, equals, rest = text.partition("=")
    dtype, colon, sizes = rest.partition(":")
    words = [word.strip() for word in sizes.split(",") if word.strip()]
    shape = [int(word) if word.isdecimal() else word for word in words]
    try:
        if not (equals and colon):
            raise ValueError("it has no dtype and shape")
        made = Input.model_validate({"name": name.strip(), "dtype": dtype.strip(), "shape": shape})
    except ValueError as error:
        raise UsageError(
            f"--input '{text}': {_first(error)}", fix="--input 'x=float32:batch,3,224,224'"
        ) from None
    return TensorSpec(made.name, made.dtype, made.shape)


def _first(error: ValueError) -> str:
    from pydantic import ValidationError

    return str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else str(error)
