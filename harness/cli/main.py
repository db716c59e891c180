"""`harness`: the group of all subcommands, and the one place where exceptions become exit codes.

Subcommands are imported when they are used, so `harness --help` answers at once. A subcommand
returns its exit code (None is 0) or raises; the codes are listed in `harness.errors`.
"""

from __future__ import annotations

import atexit
import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

import click

from harness.errors import HarnessError, ScenarioError, SetupError, UnexpectedError, did_you_mean
from harness.system import output
from harness.system.credentials import outward
from harness.version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("cli.run", "Measure a scenario and write its report."),
    "merge": ("cli.merge", "Make one run directory of those of shards or lanes."),
    "stress": ("cli.stress", "Drive a Triton server through load shapes and faults."),
    "share": ("tenants.command", "Measure several models or replicas on one device."),
    "profile": ("profile.command", "Say where a model's time goes and what would save it."),
    "prepare": ("validate.prepare_command", "Export a model; fill a Triton model repository."),
    "report": ("cli.report", "Rebuild the report of a run directory."),
    "explain": ("explain.command", "Say everything about one point of a run."),
    "compare": ("compare.command", "Say whether a version is worse than another (for CI)."),
    "history": ("compare.history_command", "Keep many runs' values; find where they changed."),
    "export": ("export.command", "Write a run into MLflow or Weights & Biases."),
    "plan": ("plan.command", "Say what to ask for: replicas, GPU memory, cards, files."),
    "calibrate": (
        "compare.calibrate_command",
        "Find out what this machine can tell apart (A/A test).",
    ),
    "validate": ("validate.command", "Check a scenario file and show every mistake in it."),
    "init": ("init.command", "Write a scenario for a model that you have."),
    "import": ("migrate.import_command", "Make a scenario of Model Analyzer's or perf_analyzer's."),
    "infer": ("infer.command", "Send one request, and show what the model says."),
    "monitor": ("monitor.command", "Watch a running Triton; record its traffic."),
    "schema": ("validate.schema_command", "Print the JSON Schema of scenario files, for editors."),
    "doctor": ("doctor.command", "Say what this machine can run, and how to fix the rest."),
    "triton": ("cli.triton", "Install, inspect and run the embedded Triton server."),
    "telemetry": ("cli.telemetry", "Sample beside a server on another host."),
    "completion": ("cli.completion", "Print what a shell needs to complete commands."),
}
"""Subcommand → (module of the package with a click command named `command`, help in one line)."""

INTERNAL, USAGE, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
"""Exit codes besides those of `HarnessError`; 130 and 141 are what shells give for the signals."""


class _PipeError(Exception):
    """Carries a BrokenPipeError past click, which would end the program in silence with code 1."""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when the subcommand is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which they are shown."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand's module; None when there is no such subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"harness.{COMMANDS[cmd_name][0]}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, with a suggestion for a name that is nearly right."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"unknown command '{args[0]}'{did_you_mean(*near)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """As in click, but a broken pipe within the program reaches `main`."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeError from error


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 fine, 1 the answer is no, 2 input or usage, 3 setup, 4 inconclusive, "
    "5 constraints not held, 130 interrupted.",
)
@click.option("--debug", is_flag=True, help="Show tracebacks (also HARNESS_DEBUG=1).")
@click.version_option(__version__, prog_name="harness")
def command(debug: bool) -> None:
    """Benchmark and stress-test model inference: PyTorch, ONNX Runtime, TensorRT and Triton."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. `args` defaults to the process's own."""
    output.prepare()
    _take_signals()
    code = _run(_take_debug(sys.argv[1:] if args is None else list(args)))
    sys.stdout.flush()
    # CPython remembers an interrupt that came while a string was run (a dataclass is made of one),
    # also when it was caught, and `python -m` then ends as by SIGINT; the next string clears it
    eval("0")  # noqa: S307
    sys.exit(_code_of_output(code))


def _take_signals() -> None:
    """SIGTERM and SIGHUP are as Ctrl-C, so that all is put away; when all is done, they change
    nothing.
    """
    ours = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if ours and signal.getsignal(number) is signal.SIG_DFL:  # else as by nohup
            signal.signal(number, signal.default_int_handler)
            atexit.register(signal.signal, number, signal.SIG_IGN)


def _code_of_output(code: int) -> int:
    """The exit code, where standard output could not be written another one."""
    error = output.failure(sys.stdout)
    if error is None or error.errno == errno.EIO:  # a terminal that is gone wants to know nothing
        return code
    if error.errno == errno.EPIPE:
        return PIPE_CLOSED
    _say(f"error: standard output can't be written: {error.strerror}")
    return code or SetupError.exit_code


def _take_debug(args: list[str]) -> list[str]:
    """Let --debug stand anywhere before `--`; worker processes inherit it by the environment."""
    end = args.index("--") if "--" in args else len(args)
    if "--debug" not in args[:end]:
        return args
    os.environ["HARNESS_DEBUG"] = "1"
    return [a for i, a in enumerate(args) if i >= end or a != "--debug"]


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get("HARNESS_DEBUG", "") not in ("", "0")


def _run(args: list[str]) -> int:
    try:
        result = command.main(args, prog_name="harness", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except HarnessError as error:
        return _report(error)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        return _usage(error)
    except (KeyboardInterrupt, click.Abort):
        _say("error: interrupted")
        return INTERRUPTED
    except _PipeError as error:
        return _internal(error.__cause__ or error)
    except Exception as error:
        return _other(error)


def _say(*lines: str) -> None:
    click.echo(outward("\n".join(lines)), err=True)


def _traceback() -> None:
    if debugging():
        import traceback

        _say(traceback.format_exc().rstrip())


def _report(error: HarnessError) -> int:
    _traceback()
    lines = [f"error: {error.message}"]
    if isinstance(error, ScenarioError):
        lines = [f"error: {problem}" for problem in error.problems]
        if len(error.problems) > 1:
            lines.append(f"{len(error.problems)} problems in {error.problems[0].file}")
    _say(*lines, *([f"  fix: {error.fix}"] if error.fix else []))
    return error.exit_code


def _usage(error: click.ClickException) -> int:
    _traceback()
    _say(f"error: {error.format_message()}")
    context = getattr(error, "ctx", None)
    if context is not None:
        _say(f"  fix: see {context.command_path} --help")
    return USAGE


def _other(error: Exception) -> int:
    """What none of us raised: a lack on this machine is said as such, the rest is a fault."""
    from harness.system.faults import known

    found = known(error)
    ours = isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("harness")
    return _internal(error) if ours or isinstance(found, UnexpectedError) else _report(found)


def _internal(error: BaseException) -> int:
    _traceback()
    hint = "" if debugging() else " (run again with --debug for the traceback)"
    _say(f"error: internal: {type(error).__name__}: {' '.join(str(error).split())}{hint}")
    return INTERNAL
