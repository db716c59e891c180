"""`harness infer TARGET DATA`: one request, and what the model says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from harness.triton.client import options

if TYPE_CHECKING:
    from harness.infer.send import Answer, Fit
    from harness.infer.show import Top

PATH = click.Path(dir_okay=False, path_type=Path)
TOP = 5


@click.command("infer")
@click.argument("target")
@click.argument("data", nargs=-1, type=PATH)
@click.option(
    "--input", "named", multiple=True, metavar="NAME=FILE|JSON",
    help="What an input holds. Repeatable.",
)  # fmt: skip
@click.option("--backend", default="", metavar="NAME", help="Of the scenario; default: the first.")
@click.option("--model", default="", metavar="NAME", help="On the server.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As of harness run.")
@click.option("--labels", type=PATH, metavar="FILE", help="A label a line, for the classes.")
@click.option("--top", type=click.IntRange(0), help="Best classes; default: 5, 0 for none.")
@click.option("--mean", metavar="N,…", help="Of images, a channel each, after division by 255.")
@click.option("--std", metavar="N,…", help="The same.")
@click.option("--output", "-o", type=PATH, metavar="FILE", help="Write the outputs as .npz.")
@options.access
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    target: str, data: tuple[Path, ...], named: tuple[str, ...], backend: str, model: str,
    overrides: tuple[str, ...], labels: Path | None, top: int | None, mean: str | None,
    std: str | None, output: Path | None, headers: tuple[str, ...], ca: str, insecure: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Send one request to TARGET: a Triton URL, or a scenario, whose backend is loaded here.

    DATA are images, .npy or .npz files. What the model takes is read first, and all that does not
    match is said at once. Of a classifier the best classes are shown, else each output's shape and
    first values. It is one request, and measures nothing.
    """
    from harness.errors import UsageError
    from harness.infer.classes import read_labels
    from harness.infer.fit import Pixels, fit
    from harness.infer.given import Images, read_given
    from harness.infer.show import save
    from harness.triton.client.url import is_url

    if output is not None and output.exists():
        raise UsageError(f"{output} is there already", fix="choose another name with -o")
    given = read_given(data, named)
    names = read_labels(labels) if labels is not None else []
    pixels = Pixels(_numbers("--mean", mean), _numbers("--std", std))
    if bool(pixels.mean) != bool(pixels.std):
        raise UsageError("--mean and --std go together")
    access = _Access(headers, ca, insecure)
    if is_url(target) and backend:
        raise UsageError("--backend is of a scenario; on a server it is --model")
    if not is_url(target) and model:
        raise UsageError("--model is of a server; of a scenario it is --backend")
    answer = _ask(target, backend or model, overrides, access, lambda w: fit(w, given, pixels))
    pictured = any(isinstance(value, Images) for value in given.values())
    count = top if top is not None else TOP if names or pictured else 0
    if output is not None:
        save(answer, output)
    _say(answer, _best(answer, count, names), output, as_json=as_json)


class _Access(NamedTuple):
    headers: tuple[str, ...]
    ca: str
    insecure: bool


def _ask(target: str, which: str, overrides: tuple[str, ...], access: _Access, fit: Fit) -> Answer:
    """By what the target is; `which` names the model on a server, or the scenario's backend."""
    from harness.infer.send import through_backend, to_server
    from harness.scenario.reading.loader import load
    from harness.triton.client.url import is_url, parse_url

    if is_url(target):
        url = parse_url(target, access.headers, access.ca or None, verify=not access.insecure)
        return to_server(url, which, fit)
    return through_backend(load(target, overrides), which, fit)


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    from harness.errors import UsageError

    try:
        return tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError:
        raise UsageError(f"{option} expects numbers like 0.485,0.456,0.406") from None


def _best(answer: Answer, count: int, labels: list[str]) -> Top:
    from harness.errors import UsageError
    from harness.infer.classes import best, is_scores

    found = {n: a for n, a in answer.outputs.items() if is_scores(a)} if count else {}
    if labels and not found:
        shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in answer.outputs.items())
        raise UsageError(f"no output holds the scores of classes, [batch, classes]: {shapes}")
    return {name: best(array, count, labels, name) for name, array in found.items()}


def _say(answer: Answer, top: Top, written: Path | None, *, as_json: bool) -> None:
    from rich.console import Console

    from harness.infer import show
    from harness.scenario.wording import counted

    if as_json:
        click.echo(show.as_json(answer, top, written))
        return
    console = Console(highlight=False)
    for part in show.page(answer, top):
        console.print(part)
    if written is not None:
        click.echo(f"{written}: {counted(len(answer.outputs), 'output')} written")
