"""`harness validate FILE`: every mistake in a scenario at once, or how many points it makes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from harness.scenario.spec.scenario import Scenario


@click.command("validate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Put a value in, e.g. load.concurrency=[1,2] or backends[0].precision=fp16. Repeatable.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, mistakes too.")
def command(file: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check a scenario file and show every mistake in it. Exit 2 when there are any."""
    from harness.scenario.reading.loader import load

    try:
        scenario = load(file, overrides).scenario
    except UsageError as error:
        if not as_json:
            raise
        click.echo(json.dumps(_mistakes(file, error), indent=2))
        return error.exit_code
    facts = _facts(file, scenario)
    click.echo(json.dumps(facts, indent=2) if as_json else f"{file}: fine: {_words(facts)}")
    return 0


def _facts(file: Path, scenario: Scenario) -> dict[str, Any]:
    from harness.scenario.points import estimate, expand

    return {
        "file": str(file),
        "valid": True,
        "scenario": scenario.scenario,
        "points": len(expand(scenario)),
        "backends": [backend.name for backend in scenario.backends],
        "batch_sizes": list(scenario.load.batch_sizes),
        "concurrency": list(scenario.load.concurrency or ()),
        "rounds": scenario.measurement.rounds,
        "estimated_seconds": round(estimate(scenario)),
    }


def _words(facts: dict[str, Any]) -> str:
    axes = (("backends", "backend"), ("batch_sizes", "batch size"), ("concurrency", "concurrency"))
    parts = [_count(len(facts[key]), word) for key, word in axes]
    return (
        f"{_count(facts['points'], 'point')} ({' × '.join(parts)}), "
        f"{_count(facts['rounds'], 'round')}"
    )


def _count(number: int, word: str) -> str:
    plural = word.removesuffix("y") + "ies" if word.endswith("y") else f"{word}s"
    return f"{number} {word if number == 1 else plural}"


def _mistakes(file: Path, error: UsageError) -> dict[str, Any]:
    if isinstance(error, ScenarioError):
        return {
            "file": str(file), "valid": False, "problems": [asdict(p) for p in error.problems]
        }  # fmt: skip
    return {"file": str(file), "valid": False, "problems": [{"message": str(error)}]}
