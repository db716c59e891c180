"""`harness validate FILE`: every mistake in a scenario at once, or how many points it makes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from harness.errors import HarnessError, ScenarioError
from harness.system import options
from harness.system.output import print_json


@click.command("validate")
@click.argument("file", type=options.PATH)
@options.overrides
@click.option(
    "--deep", is_flag=True, help="Import the model's code, open its files whole, call it once."
)
@options.as_json
def command(file: Path, overrides: tuple[str, ...], deep: bool, as_json: bool) -> int:
    """Show every mistake in a scenario file, its ONNX files and what names its model.

    Nothing is imported without --deep. Exit 2 when there are any mistakes, else 3 with --deep where
    this machine lacks something.
    """
    from harness.scenario.reading.loader import load
    from harness.validate.checking import HERE, NOW, check
    from harness.validate.overview import overview
    from harness.validate.words import not_looked_at, will_do

    try:
        loaded = load(file, overrides)
        found, notes = overview(loaded.scenario), check(loaded, deep=deep)
        fails = any(note.startswith((HERE, NOW)) for note in notes)
        notes += not_looked_at(loaded.scenario, deep=deep)
    except HarnessError as error:
        if not as_json:
            raise
        problems = [asdict(p) for p in error.problems] if isinstance(error, ScenarioError) else [
            {"message": str(error)}
        ]  # fmt: skip
        print_json("validate", {"file": str(file), "valid": False, "problems": problems})
        return error.exit_code
    facts = {
        "file": str(file), "valid": True, "scenario": found.scenario, "points": len(found.points),
        "backends": found.backends, "batch_sizes": found.batch_sizes,
        "concurrency": found.concurrency, "rounds": found.rounds,
        "estimated_seconds": round(found.seconds), "notes": notes,
    }  # fmt: skip
    if as_json:
        print_json("validate", facts)
        return 0
    word = "no mistake, but here and now a run would lack something" if fails else "fine"
    lines = [f"{file}: {word}: {will_do(loaded.scenario)}", *(f"note: {text}" for text in notes)]
    click.echo("\n".join(lines))
    return 0
