"""Answers, and what stands for them where nobody can be asked."""

from __future__ import annotations

from collections.abc import Sequence

import click
import pytest

from harness.errors import UsageError
from harness.init.ask import Asker, counts, input_spec, milliseconds, refine
from harness.init.write import Choices


class Terminal:
    """Standard input that is one."""

    def isatty(self) -> bool:
        return True


def answer(monkeypatch: pytest.MonkeyPatch, answers: Sequence[str]) -> list[str]:
    asked: list[str] = []
    left = list(answers)

    def prompt(question: str, **_: object) -> str:
        asked.append(question)
        return left.pop(0)

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(click, "prompt", prompt)
    return asked


def test_yes_takes_what_is_proposed_and_asks_nothing() -> None:
    asker = Asker(yes=True)
    assert asker.text("Where?", "here") == "here"
    with pytest.raises(UsageError, match="nobody can be asked"):
        asker.text("Where?")
    with pytest.raises(UsageError, match="several models: a, b") as caught:
        asker.choose("several models", ["a", "b"])
    assert caught.value.fix == "say which: --model NAME"
    assert refine(asker, Choices([1], [2]), fixed=False) == Choices([1], [2])


def test_on_a_terminal_an_answer_is_asked_for_until_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answer(monkeypatch, ["1,x", "8,1", "2", "fast", "20"])
    made = refine(Asker(yes=False), Choices([1], [2]), fixed=False)
    assert made == Choices([1, 8], [2], 20.0)
    assert len(asked) == 5


def test_a_fixed_batch_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, ["4", "-"])
    assert refine(Asker(yes=False), Choices([6], [2]), fixed=True) == Choices([6], [4])
    assert not any("Items" in question for question in asked)
    answer(monkeypatch, ["b"])
    assert Asker(yes=False).choose("several", ["a", "b"]) == "b"


@pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "x", "9999999"])
def test_counts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected numbers"):
        counts(text)


def test_milliseconds() -> None:
    assert milliseconds("-") is None
    assert milliseconds("12.5") == 12.5
    for text in ("0", "-3", "inf", "nan", "x"):
        with pytest.raises(ValueError, match="expected milliseconds"):
            milliseconds(text)


def test_an_input_on_the_command_line() -> None:
    spec = input_spec("x=int64:batch,seq,4")
    assert (spec.name, spec.dtype, spec.shape) == ("x", "int64", ("batch", "seq", 4))
    for text in ("x", "x=float32", "x=float99:batch", "x=float32:batch,0", "=float32:batch"):
        with pytest.raises(UsageError, match="--input"):
            input_spec(text)
