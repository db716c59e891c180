"""Arguments and options that several subcommands have."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
OUTPUT = click.Path(dir_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
PORT = click.IntRange(1, 65535)

scenario = click.argument("scenario", required=False, type=PATH)
run_dir = click.argument("run_dir", type=PATH)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
overrides = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Put a value in, e.g. load.concurrency=[1,2] or backends[0].precision=fp16. Repeatable.",
)  # fmt: skip
resume = click.option(
    "--resume", type=PATH, metavar="DIR",
    help="Finish what was interrupted in DIR; measures only what is missing.",
)  # fmt: skip
RUN_DIRECTORY = "Run directory. Default: reports/SCENARIO-TIME"
output = click.option("--output", "-o", type=PATH, help=RUN_DIRECTORY)
ERRORS = "Print nothing but errors, the verdict with its sentence, and paths."
quiet = click.option("--quiet", "-q", is_flag=True, help=ERRORS)
LINES = "Print every event as a line of JSON."
events = click.option("--json", "as_json", is_flag=True, help=LINES)
metrics_port = click.option(
    "--metrics-port", metavar="[ADDRESS:]PORT",
    help="Serve the live run's metrics to Prometheus; on 127.0.0.1 unless an address is given.",
)  # fmt: skip
