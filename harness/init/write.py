"""The scenario of a model that was examined, with a comment wherever somebody has to decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.init.backends import Runnable
from harness.init.found import Found, FoundInput
from harness.scenario.reading.loader import LoadedScenario, load_text
from harness.scenario.writing import flow, one_line
from harness.system.text import harness_command

DATA = {
    "image": "images instead: data: {files: [a.jpg], mean: [0.485, 0.456, 0.406], "
             "std: [0.229, 0.224, 0.225]}",
    "any": "your own data instead of random: data: {files: [x.npy]}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Choices:
    """What is asked for: the model says what it takes, not what it will be asked."""

    batch_sizes: Sequence[int]
    concurrency: Sequence[int]
    p99_ms: float | None = None
    """The constraint; None leaves it to be filled in."""


def sensible(found: Found, on_gpu: bool) -> Choices:
    """Loads to begin with: one item and a few, one caller and more than the device can take."""
    if found.fixed_batch is not None:
        sizes = [found.fixed_batch]
    elif not found.batched:
        sizes = [1]
    else:
        few = (1, 8, 32) if on_gpu else (1, 4)
        sizes = sorted({min(size, found.max_batch or size) for size in few})
    return Choices(sizes, (1, 8) if on_gpu else (1, 4))


def text(found: Found, backends: Runnable, choices: Choices, output: Path, came_from: str) -> str:
    """The file."""
    lines = [
        *_head(output, came_from), *_model(found), "", *_backends(backends), "",
        *_load(found, choices), "", *_rest(choices),
    ]  # fmt: skip
    return "\n".join(one_line(line) for line in lines) + "\n"


def _head(output: Path, came_from: str) -> Iterator[str]:
    yield f"# Written by `harness init` from {came_from}; every line is yours to change."
    yield "# docs/scenario.md has every key."
    yield "#"
    run = harness_command("run", output.name)
    yield f"#   {harness_command('validate', output.name)}"
    yield f"#   {run} --dry-run     # the points, and about how long they take"
    yield f"#   {run}"


def _model(found: Found) -> Iterator[str]:
    yield f"scenario: {flow(found.name)}"
    yield ""
    yield "model:"
    yield f"  name: {flow(found.name)}"
    yield f"  source: {flow(dict(found.source))}"
    if found.kind == "torch":
        yield "  # arguments and weights: {torch: …, kwargs: {…}, weights: file.pt}; without a file"
        yield "  # the weights are what the function makes, drawn from `seed`"
    if not found.batched:
        yield "  batch: none # a request is one inference"
    yield "  inputs:"
    for note in found.notes:
        yield f"    # {note}"
    for item in found.inputs:
        yield _input(item)
    kind = "image" if any(_is_image(i) for i in found.inputs) else "any"
    yield f"    # {DATA[kind]}"
    if found.dynamic:
        sizes = flow(dict(found.dynamic))
        yield f"  dynamic: {sizes} # sizes to begin with: put in those you serve"


def _is_image(item: FoundInput) -> bool:
    shape = item.spec.shape
    return len(shape) == 4 and (shape[1] in (1, 3) or shape[3] in (1, 3))


def _input(item: FoundInput) -> str:
    spec = item.spec
    made = {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape), **item.holds}
    note = f" # {item.note}" if item.note else ""
    return f"    - {flow(made)}{note}"


def _backends(backends: Runnable) -> Iterator[str]:
    yield "backends: # each gets a fresh process in every round"
    for entry in backends.entries:
        yield f"  - {flow(dict(entry))}"
    for entry in backends.slower:
        yield f"  # - {flow(dict(entry))} # runs here too, on the CPU"
    for line, why in backends.unable.items():
        yield f"  # not here: {line}: {why}"


def _load(found: Found, choices: Choices) -> Iterator[str]:
    why = "items in one request"
    if found.fixed_batch is not None:
        why = f"the model is made for batches of {found.fixed_batch}"
    elif found.max_batch is not None:
        why += f", at most {found.max_batch}"
    yield "load:"
    yield f"  batch_sizes: {flow(list(choices.batch_sizes))} # {why}"
    callers = flow(list(choices.concurrency))
    yield f"  concurrency: {callers} # callers that each wait for their answer"
    yield "  # or a rate that comes whatever the server does: request_rate: [100, 200] (a second)"


def _rest(choices: Choices) -> Iterator[str]:
    yield "measurement: {profile: quick} # `standard` or `publish` for numbers that others rely on"
    yield ""
    if choices.p99_ms is None:
        yield "# What a point must hold to be a candidate: put in your number, and take the # away."
        yield "# constraints:"
        yield "#   latency_p99_ms: {max: 50}"
    else:
        yield "constraints: # what a point must hold to be a candidate"
        yield f"  latency_p99_ms: {flow({'max': choices.p99_ms})}"
    yield "objective: throughput # what the best point is best at, under the constraints"


def checked(made: str, output: Path) -> LoadedScenario:
    """The scenario as `harness run` will read it. Raises ScenarioError where it would not."""
    return LoadedScenario(load_text(made, str(output), output.parent), made, output)


def write(made: str, output: Path) -> None:
    """Into a new file. Raises UsageError for one that is there, or can't be written."""
    try:
        if not output.parent.is_dir():
            output.parent.mkdir(parents=True)
        with output.open("x", encoding="utf-8") as file:
            file.write(made)
    except OSError as error:
        if output.exists():
            message = f"{output} is there already"
            raise UsageError(message, fix="choose another name with -o") from None
        raise UsageError(f"{output} can't be written: {error.strerror or error}") from None
