import inspect
import pickle
import re

import pytest

from harness import errors
from harness.errors import HarnessError, Problem, ScenarioError, from_reason

CLASSES = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, HarnessError)]


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    drawn, stack = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"( {4}[│ ├└─]*)(\w+Error) +(\d+) ", line)
        if match:
            depth = (len(match[1]) - 4) // 4
            stack[depth:] = [match[2]]
            parent = stack[depth - 1] if depth else "Exception"
            drawn[match[2]] = (parent, int(match[3]))
    assert drawn == {c.__name__: (c.__base__.__name__, c.exit_code) for c in CLASSES}


def test_every_reason_names_one_class():
    reasons = [c.reason for c in CLASSES]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not ScenarioError])
def test_an_error_is_rebuilt_from_what_a_worker_reports(cls):
    error = from_reason(cls.reason, "it broke", "mend it")
    assert (type(error), error.message, error.fix) == (cls, "it broke", "mend it")


@pytest.mark.parametrize("reason", ["scenario", "something new", ""])
def test_a_reason_nobody_knows_is_a_backend_error_that_keeps_it(reason):
    error = from_reason(reason, "it broke")
    assert type(error) is errors.BackendError
    assert error.message == f"{reason}: it broke"


def test_the_text_ends_with_the_fix():
    assert str(HarnessError("it broke")) == "it broke"
    assert str(HarnessError("it broke", fix="mend it")) == "it broke\n  fix: mend it"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml", 3, 5, "model.nam", "unknown key", "name"),
         "a.yaml:3:5: model.nam: unknown key; did you mean 'name'?"),
        (Problem("a.yaml", 1, 1, "", "the file is empty"), "a.yaml:1:1: the file is empty"),
    ],
)  # fmt: skip
def test_a_problem_says_where_what_and_what_was_meant(problem, text):
    assert str(problem) == text


def test_a_scenario_error_holds_every_problem_in_order():
    problems = [Problem("a.yaml", n, 1, "", f"problem {n}") for n in (2, 1)]
    error = ScenarioError(problems)
    assert error.problems == tuple(problems)
    assert error.message == "a.yaml:2:1: problem 2\na.yaml:1:1: problem 1"


@pytest.mark.parametrize("cls", [c for c in CLASSES if c is not ScenarioError])
def test_an_error_survives_pickling(cls):
    assert pickle.loads(pickle.dumps(cls("it broke", fix="mend it"))).fix == "mend it"
