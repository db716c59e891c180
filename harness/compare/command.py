"""`harness compare`: is a candidate worse than a base, with a verdict and an exit code for CI."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options

LOOKS = (4, 6, 9, 13, 19)
"""As in harness.compare.verdicts, whose import would take `--help` its time."""


@click.command()
@click.argument("paths", nargs=-1, type=options.PATH, metavar="[RUN_DIR | SCENARIO | BASE NEW…]")
@click.option("--base", "-b", metavar="NAME", help="Backend or environment to compare with.")
@click.option("--candidate", "-c", metavar="NAME", help="Backend or environment that is judged.")
@click.option("--baseline", type=options.FILE, help="Compare RUN_DIR with a kept baseline.")
@click.option("--save-baseline", type=options.OUTPUT, help="Keep RUN_DIR's values as a baseline.")
@click.option("--force", is_flag=True, help="Compare stored runs that are not comparable.")
@options.overrides
@click.option("--output", "-o", type=options.PATH, help="SCENARIO: the run directory.")
@options.resume
@click.option(
    "--blocks", type=click.Choice([str(n) for n in LOOKS]), default=str(LOOKS[-1]),
    show_default=True, help="SCENARIO: measure at most so many blocks.",
)  # fmt: skip
@click.option(
    "--layers/--no-layers", default=None,
    help="Also say which layers differ; SCENARIO does where it finds a regression.",
)  # fmt: skip
@click.option(
    "--layer-blocks",
    type=click.IntRange(2),
    default=9,
    show_default=True,
    help="--layers: profile each side so many times.",
)
@click.option("--outputs", is_flag=True, help="RUN_DIR: run both again, compare what they answer.")
@click.option("--json", "json_file", type=options.OUTPUT, help="Write the result as JSON.")
@click.option("--markdown", type=options.OUTPUT, help="Write a comment for a pull request.")
@click.option(
    "--marker", default="", metavar="KEY", help="--markdown: tells it from other comments."
)
@click.option("--junit", type=options.OUTPUT, help="Write JUnit XML, a case a point and metric.")
@click.option("--html", type=options.OUTPUT, help="Write a page with charts.")
@click.option("--pdf", type=options.OUTPUT, help="Write the same as PDF.")
@click.option("--bencher", type=options.OUTPUT, help="Write Bencher's metric format.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the verdict.")
def command(
    paths: tuple[Path, ...], base: str | None, candidate: str | None, baseline: Path | None,
    save_baseline: Path | None, force: bool, overrides: tuple[str, ...], output: Path | None,
    resume: Path | None, json_file: Path | None, markdown: Path | None, junit: Path | None,
    bencher: Path | None, quiet: bool, blocks: str, layers: bool | None, layer_blocks: int,
    outputs: bool, marker: str, html: Path | None, pdf: Path | None,
) -> int:  # fmt: skip
    """Say whether a candidate is worse than a base.

    \b
    SCENARIO            measures both in blocks until it is decided
    RUN_DIR             compares two backends of one run
    BASE_RUN NEW_RUN…   compares stored runs; a verdict needs harness calibrate
    RUN_DIR --baseline  compares a run with a small file that was committed

    Exit codes: 0 equivalent or better; 1 a regression; 2 usage; 4 inconclusive or invalid.
    Where GITHUB_STEP_SUMMARY is set, the comment is added to it.
    """
    from harness.compare.front import Asked, Files, carry_out
    from harness.run.live import observer

    asked = Asked(
        paths, base, candidate, baseline, save_baseline, overrides, output, resume, int(blocks),
        force=force, layers=layers, quiet=quiet, outputs=outputs, layer_blocks=layer_blocks,
        marker=marker,
    )  # fmt: skip
    files = Files(json_file, markdown, junit, bencher, html, pdf)
    return carry_out(asked, files, observer(quiet=quiet, as_json=False))
