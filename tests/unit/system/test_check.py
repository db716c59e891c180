from harness.system.check import probe


def test_the_last_line_is_the_answer():
    assert probe("print('a banner'); print('{\"version\": \"1\"}')") == {"version": "1"}


def test_an_exception_is_its_last_line():
    assert probe(r"raise ImportError('no file\n\n')") == "ImportError: no file"
    assert probe("import not_there") == "ModuleNotFoundError: No module named 'not_there'"


def test_a_crash_is_its_signal():
    assert probe("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)") == "ended by signal 11"


def test_a_hang_ends_at_the_deadline():
    assert probe("input = __import__('signal').pause()", timeout=0.5) == (
        "did not answer within 0.5 s"
    )


def test_silence_garbage_and_quiet_failure():
    assert probe("pass") == "ended without an answer"
    assert probe("print('hello')") == "ended without an answer"
    assert probe("print(5)") == probe("print([5])") == "ended without an answer"
    assert probe("raise SystemExit(3)") == "exit code 3"
