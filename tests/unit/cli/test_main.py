import json
import os
import subprocess
import sys

import pytest

import harness as package
from harness.cli import main as cli
from harness.errors import (
    DeviceError,
    HarnessError,
    InconclusiveError,
    Problem,
    RunDirectoryError,
    UsageError,
)
from harness.version import __version__

COMMAND = """
import sys
import click
from harness.errors import *

@click.command()
@click.option("--number", type=int)
def command(number):
    {body}
"""


@pytest.fixture
def harness(tmp_path, monkeypatch, capfd):
    """Run `harness try ARGS…`, where `try` is a command with the given body."""
    monkeypatch.delenv("HARNESS_DEBUG", raising=False)
    monkeypatch.setitem(cli.COMMANDS, "try", ("a_command_to_try", "Try."))
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    def run(body, *args, before=()):
        (tmp_path / "a_command_to_try.py").write_text(COMMAND.format(body=body))
        monkeypatch.delitem(sys.modules, "harness.a_command_to_try", raising=False)
        with pytest.raises(SystemExit) as exit:
            cli.main([*before, "try", *args])
        out, err = capfd.readouterr()
        return exit.value.code, out, err

    yield run
    os.environ.pop("HARNESS_DEBUG", None)


# ---------------------------------------------------------------------------------- exit codes


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("pass", 0), ("return 4", 4), ("click.get_current_context().exit(3)", 3),
        ("raise SystemExit(7)", 7),
    ],
)  # fmt: skip
def test_a_command_ends_with_its_code_and_says_nothing(harness, body, code):
    assert harness(body) == (code, "", "")


@pytest.mark.parametrize(
    "cls", [HarnessError, UsageError, RunDirectoryError, DeviceError, InconclusiveError]
)
def test_an_error_ends_with_the_code_of_its_class(harness, cls):
    assert harness(f"raise {cls.__name__}('it broke')") == (cls.exit_code, "", "error: it broke\n")


def test_an_error_says_how_to_fix_it(harness):
    _, _, err = harness("raise SetupError('no server', fix='start one')")
    assert err == "error: no server\n  fix: start one\n"


def test_a_scenario_error_is_one_line_a_problem(harness):
    problems = [Problem("s.yaml", 3, 5, "model.nam", "unknown key", "name"),
                Problem("s.yaml", 9, 1, "load", "expected a mapping")]  # fmt: skip
    code, out, err = harness(f"raise ScenarioError({problems!r})")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "error: s.yaml:3:5: model.nam: unknown key; did you mean 'name'?",
        "error: s.yaml:9:1: load: expected a mapping",
        "2 problems in s.yaml",
    ]
    _, _, err = harness(f"raise ScenarioError({problems[:1]!r})")
    assert err == "error: s.yaml:3:5: model.nam: unknown key; did you mean 'name'?\n"


def test_any_other_exception_is_internal_and_one_line(harness):
    code, out, err = harness("raise ValueError('two\\nlines')")
    assert (code, out) == (1, "")
    assert err == (
        "error: internal: ValueError: two lines (run again with --debug for the traceback)\n"
    )


def test_an_interrupt_ends_with_130(harness):
    code, _, err = harness("raise KeyboardInterrupt")
    assert code == 130
    assert err.strip() == "error: interrupted"


def test_an_interrupt_in_a_string_that_is_run_ends_with_130_too(tmp_path):
    """`python -m` would end as if SIGINT had killed it, although the interrupt was caught."""
    (tmp_path / "entry.py").write_text(
        "from harness.cli import main\n"
        "main._say('imported')\n"  # what this imports would hide it
        "main._run = lambda _: main.INTERRUPTED\n"
        "try: exec('raise KeyboardInterrupt')\n"
        "except KeyboardInterrupt: main.main([])\n"
    )
    ended = subprocess.run([sys.executable, "-m", "entry"], cwd=tmp_path, check=False)
    assert ended.returncode == 130


@pytest.mark.parametrize("args", [["--number", "x"], ["--numbre", "3"], ["surplus"]])
def test_wrong_arguments_end_with_2_and_point_to_the_help(harness, args):
    code, out, err = harness("pass", *args)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "fix: see harness try --help" in err
    assert "Traceback" not in err


def test_a_missing_package_says_how_to_install_it(harness):
    code, _, err = harness("import torch_of_the_future.nn")
    assert code == 3
    assert "the Python package that provides 'torch_of_the_future' is not installed" in err
    assert "fix: install the package that provides 'torch_of_the_future'" in err
    assert sys.executable in err


def test_a_missing_module_of_the_harness_is_internal(harness):
    code, _, err = harness("import harness.not_there")
    assert code == 1
    assert err.startswith("error: internal: ModuleNotFoundError")


# --------------------------------------------------------------------------------------- debug


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("body", ["raise ValueError('x')", "raise UsageError('x')"])
def test_debug_shows_the_traceback_wherever_it_stands(harness, where, body):
    args = {"before": ((), ("--debug",)), "after": (("--debug",), ())}[where]
    _, _, err = harness(body, *args[0], before=args[1])
    assert "Traceback (most recent call last)" in err
    assert "a_command_to_try.py" in err
    assert "run again with --debug" not in err


@pytest.mark.parametrize(("value", "shown"), [("1", True), ("0", False), ("", False)])
def test_debug_by_the_environment(harness, monkeypatch, value, shown):
    monkeypatch.setenv("HARNESS_DEBUG", value)
    _, _, err = harness("raise ValueError('x')")
    assert ("Traceback" in err) == shown


def test_debug_after_two_dashes_is_an_argument(harness):
    code, _, err = harness("pass", "--", "--debug")
    assert code == 2
    assert "--debug" in err


# ---------------------------------------------------------------------------------- broken pipes


def test_a_broken_pipe_inside_the_program_is_internal(harness):
    code, _, err = harness("raise BrokenPipeError(32, 'worker gone')")
    assert code == 1
    assert "internal: BrokenPipeError: [Errno 32] worker gone" in err


@pytest.mark.parametrize("args", [["--help"], ["schema"], ["doctor", "--help"]])
def test_a_reader_that_left_is_no_error(args):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "harness", *args]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


# ----------------------------------------------------------------------------- help and commands


def test_help_lists_every_command(run_cli):
    done = run_cli("--help")
    assert done.returncode == 0
    for name, (_, text) in cli.COMMANDS.items():
        assert name in done.stdout
        assert text in done.stdout


def test_help_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "pydantic", "plotly", "rich", "scipy", "matplotlib",
             "ruamel", "onnxruntime", "tritonclient", "pyarrow", "psutil", "jinja2"}  # fmt: skip
    code = (
        "import json, sys\n"
        "from harness.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "harness.cli.main" in modules
    assert heavy.isdisjoint(m.partition(".")[0] for m in modules)
    assert {m for m in modules if m.startswith("harness.cli.")} == {"harness.cli.main"}


@pytest.mark.parametrize("name", [n for n in cli.COMMANDS if n != "try"])
def test_every_command_exists_and_has_help(run_cli, name):
    done = run_cli(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: harness {name}")


def test_version(run_cli):
    assert run_cli("--version").stdout == f"harness, version {__version__}\n"


def test_nothing_shows_the_help_and_is_a_usage_error(run_cli):
    done = run_cli()
    assert done.returncode == 2
    assert "Usage: harness" in done.stderr


@pytest.mark.parametrize(("typed", "meant"), [("rnu", "run"), ("docter", "doctor")])
def test_an_unknown_command_has_a_suggestion(run_cli, typed, meant):
    done = run_cli(typed)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: unknown command '{typed}'; did you mean '{meant}'?\n")


def test_a_command_like_no_other_has_none(run_cli):
    assert run_cli("zzz").stderr.splitlines()[0] == "error: unknown command 'zzz'"


def test_an_unknown_option_is_a_usage_error(run_cli):
    done = run_cli("--hlep")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--hlep" in done.stderr
