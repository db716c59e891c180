"""`harness init SOURCE`: a commented scenario for a model that you have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.triton.client import options

if TYPE_CHECKING:
    from harness.init.ask import Asker
    from harness.init.examine import Subject
    from harness.scenario.reading.loader import LoadedScenario

PATH = click.Path(dir_okay=False, path_type=Path)


@click.command("init")
@click.argument("source", required=False)
@click.option(
    "--output", "-o", type=PATH, default=Path("scenario.yaml"), show_default=True,
    help="The scenario to write; never over a file.",
)  # fmt: skip
@click.option("--yes", "-y", is_flag=True, help="Ask nothing; take what would be proposed.")
@click.option("--model", default="", metavar="NAME", help="Which one on the server; else its name.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=DTYPE:SHAPE",
    help="An input of a function's model, e.g. x=float32:batch,3,224,224. Repeatable.",
)  # fmt: skip
@options.access
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    source: str | None, output: Path, yes: bool, model: str, inputs: tuple[str, ...],
    headers: tuple[str, ...], ca: str, insecure: bool, as_json: bool,
) -> None:  # fmt: skip
    """Write a scenario for SOURCE, which is asked what it is: inputs, sizes, batch.

    SOURCE is a Triton URL, a model repository, an .onnx file, a program of torch.export.save, or
    module:function. Loads and backends are those that make sense and run here; what you must decide
    is a comment. On a terminal a few questions are asked, with --yes none.
    """
    from harness.errors import UsageError
    from harness.init.ask import Asker, input_spec
    from harness.init.examine import KINDS, Subject
    from harness.init.triton import Written

    if output.exists():
        raise UsageError(f"{output} is there already", fix="choose another name with -o")
    asker = Asker(yes)
    source = source or asker.text(f"What is to be measured ({KINDS})?")
    access = Written(headers, ca, not insecure)
    subject = Subject(source, output.parent, model, [input_spec(i) for i in inputs], access)
    loaded, notes = _make(subject, output, asker)
    _say(loaded, notes, as_json=as_json)


def _make(subject: Subject, output: Path, asker: Asker) -> tuple[LoadedScenario, list[str]]:
    from harness.doctor.backends import backend_checks
    from harness.errors import SetupError
    from harness.init.ask import refine
    from harness.init.backends import runnable
    from harness.init.examine import examine
    from harness.init.write import checked, sensible, text, write
    from harness.system.machine import probe_gpus
    from harness.system.scratch import temporary_folder
    from harness.validate.checking import check

    found = examine(subject, asker.choose)
    gpu = bool(probe_gpus()[0])
    with temporary_folder():  # runtimes that are tried may leave things there
        checks = [] if found.servers else backend_checks(gpu)
    backends = runnable(found, checks)
    if not backends.entries:
        whys = "; ".join(f"{line}: {why}" for line, why in backends.unable.items())
        raise SetupError(f"nothing here can run it: {whys}", fix="harness doctor")
    on_gpu = bool(found.servers) or bool(backends.slower)
    fixed = found.fixed_batch is not None or not found.batched
    choices = sensible(found, on_gpu)
    choices = choices if asker.yes else refine(asker, choices, fixed)
    made = text(found, backends, choices, output, subject.source)
    loaded = checked(made, output)
    notes = [*found.notes, *check(loaded)]
    write(made, output)
    return loaded, notes


def _say(loaded: LoadedScenario, notes: list[str], *, as_json: bool) -> None:
    from harness.system.credentials import outward
    from harness.system.output import print_json
    from harness.system.text import harness_command
    from harness.validate.overview import overview
    from harness.validate.words import measures

    seen = overview(loaded.scenario)
    if as_json:
        print_json("init", {
            "written": str(loaded.path), "scenario": seen.scenario, "backends": seen.backends,
            "points": seen.points, "notes": notes, "estimated_seconds": round(seen.seconds),
        })  # fmt: skip
        return
    minutes, seconds = divmod(round(seen.seconds), 60)
    lines = [
        *(f"note: {note}" for note in notes),
        f"{loaded.path}: written: {measures(loaded.scenario)}, about {minutes}:{seconds:02d}",
        f"next: {harness_command('run', loaded.path, '--dry-run')}",
    ]
    click.echo(outward("\n".join(lines)))
