"""`harness prepare`: export a scenario's model into the cache, and fill a model repository."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from harness.system import options
from harness.system.output import print_json

DEFAULT = Path("scenarios/resnet50-gpu.yaml")
UNTOLD = ("needed", "lacking")  # the exit code says it


@click.command("prepare")
@click.argument("scenario", default=DEFAULT, type=options.PATH)
@options.overrides
@options.as_json
@click.option(
    "--repository", type=options.FOLDER, metavar="DIR",
    help="Fill this Triton model repository, e.g. model_repository.",
)  # fmt: skip
def command(
    scenario: Path, overrides: tuple[str, ...], as_json: bool, repository: Path | None
) -> int:  # fmt: skip
    """Export the model of SCENARIO into the cache, as every backend in it needs the model.

    Each step (PyTorch, ONNX, engine) is shown with its size, the seconds that it took, and how
    far it is from eager fp32. Exit 1 where a step can't be made, with the node and source line
    that stop it, or is wrong.

    With --repository, the model also goes into that repository in three variants: Python backend,
    ONNX Runtime and TensorRT. A variant that this machine can't make is named with the reason.
    """
    from harness.scenario.reading.loader import load
    from harness.system.files import jsonable
    from harness.validate.prepare import export, show

    found = export(load(scenario, overrides), repository)
    if as_json:
        print_json("prepare", {k: jsonable(v) for k, v in asdict(found).items() if k not in UNTOLD})
    else:
        show(found, repository)
    return found.exit_code
