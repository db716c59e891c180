import inspect
import os
import pickle
import re
import subprocess
import sys

import pytest
from support import errors_page
from support.paths import ROOT

from harness import errors
from harness.errors import (
    BackendError,
    DeviceError,
    HarnessError,
    OutOfMemoryError,
    Problem,
    ScenarioError,
    from_reason,
    translate,
    words_of,
)

CLASSES = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, HarnessError)]


def test_the_page_is_current():
    page = errors_page.PAGE.read_text("utf-8")
    written = "".join(page.partition(errors_page.BEGIN)[1:])
    assert written == errors_page.table(), "run: python tests/support/errors_page.py"


def test_the_page_draws_the_tree_with_the_exit_codes():
    drawn, stack = {}, []
    for indent, name, code in re.findall(
        r"^\| ((?:· )*)`(\w+)` .*\| (\d+) \|$", errors_page.table(), re.MULTILINE
    ):
        depth = indent.count("·")
        stack[depth:] = [name]
        drawn[name] = (stack[depth - 1] if depth else "Exception", int(code))
    assert drawn == {c.__name__: (c.__base__.__name__, c.exit_code) for c in CLASSES}


def test_every_class_says_its_own_reason_and_words():
    for cls in CLASSES:
        assert {"reason", "words"} <= set(vars(cls)), cls
        assert cls.words
        assert words_of(cls.reason) == cls.words


@pytest.mark.parametrize(
    ("code", "words"), [("something_new", "something new"), ("", "failed"), ("hung", "no answer")]
)
def test_a_reason_in_words_even_if_nobody_knows_it(code, words):
    assert words_of(code).startswith(words)


def test_what_would_only_come_again_is_not_retried():
    assert {c.reason for c in CLASSES if not c.retried} == {
        "missing_package", "device", "environment", "usage", "setup", "parity", "out_of_memory",
        "hung", "scenario", "run_directory", "model_refused",
        "unknown_model", "empty_output", "tls", "access_denied", "limit", "crashed",
    }  # fmt: skip


def test_a_new_reason_is_one_class():
    code = (
        "from harness import errors\n"
        "class TooHotError(errors.PointError):\n"
        "    reason, words, retried = 'too_hot', 'the GPU was too hot', False\n"
        "error = errors.from_reason('too_hot', '91 °C')\n"
        "print(type(error).__name__, error.retried, errors.words_of('too_hot'))\n"
        "from support import errors_page\n"
        "assert '`too_hot`' in errors_page.table()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))},
    )  # fmt: skip
    assert done.stdout.strip() == "TooHotError False the GPU was too hot"


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


@pytest.mark.parametrize("error", [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("Failed to allocate memory for requested buffer of size 12345"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: bfc_arena.cc:360 void* "
        "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Available "
        "memory of 0 is smaller than requested bytes of 8388608"
    ),
])  # fmt: skip
def test_running_out_of_memory_is_recognised_in_every_runtimes_words(error):
    assert isinstance(translate(error), OutOfMemoryError)


def test_other_exceptions_keep_type_and_message():
    found = translate(ValueError("wrong shape"), "loading")
    assert type(found) is BackendError
    assert found.message == "loading: ValueError: wrong shape"
    known = DeviceError("no GPU")
    assert translate(known) is known
