"""A model of a Triton repository by its config.pbtxt: what a run would refuse of it at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import ModelRefusedError
from harness.models import prepare
from harness.models.batch import read_batch
from harness.models.inputs import make_inputs
from harness.models.tensors import InputData, PreparedModel, TensorSpec
from harness.scenario.points import takes
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import variants
from harness.triton.client.common import check_batch
from harness.triton.client.settings import TritonSettings
from harness.triton.metadata import ConfigMessage, Description, check_inputs, proto, read
from harness.triton.repository.change import read_config, settle
from harness.triton.server.strings import check_strings


def check_served(
    scenario: Scenario, spec: TritonSettings, repository: Path, base: Path
) -> Iterator[str]:
    """Raise what a run would, for each config of a backend over a model that is in `repository`;
    yield what is not on this machine for it.

    Of a model whose configuration Triton is to complete nothing is known. Raises ModelRefusedError,
    ServerError, UsageError.
    """
    directory = repository / str(scenario.model.source.triton)
    model = prepare.check(scenario.model, scenario.load.batch_sizes, base=base)
    for single in variants(spec, max(scenario.load.batch_sizes)).values():
        assert isinstance(single, TritonSettings), "as `spec` is"
        config, _ = settle(read_config(directory), single)
        if config.input and config.output:
            batches = [b for b in scenario.load.batch_sizes if takes(single, b)]
            found = read(_metadata(config), config)
            check_model(found, model, batches)
            yield from strings_lacking(single, config, model.inputs or found.signature.inputs)


def check_model(found: Description, model: PreparedModel, batch_sizes: Sequence[int]) -> None:
    """Raise where the scenario's inputs, sizes or batches don't fit the model on its server."""
    both = found.signature
    if model.inputs:
        check_inputs(found, model)
    needed = tuple(i for i in both.inputs if i.name not in found.optional) or both.inputs
    if model.batch is not None:
        reading = read_batch(model.name, needed, both.outputs, model.batch, model.dynamic)
        needed = reading.inputs
    empty = {spec.name: InputData(data="zeros") for spec in model.inputs or needed}
    for sizes in model.sizes:
        sized = replace(model.sized(sizes), inputs=model.inputs or needed, data=empty)
        for batch in batch_sizes:
            check_batch(found, make_inputs(sized, batch, 0))


def strings_lacking(
    spec: TritonSettings, config: ConfigMessage, inputs: Sequence[TensorSpec]
) -> Iterator[str]:
    """Why the server that this machine has can't take a model's strings; nothing where it can."""
    try:
        check_strings(spec, proto().text(config), inputs)
    except ModelRefusedError as error:
        yield error.message


def _metadata(config: ConfigMessage) -> Any:
    """What a server would say of the model; its reshapes are its own affair."""
    made = proto().ModelMetadata(name=config.name)
    front = [-1] if config.max_batch_size > 0 else []
    both: Iterable[tuple[Any, Any]] = ((made.inputs, config.input), (made.outputs, config.output))
    for target, tensors in both:
        for tensor in tensors:
            kind = proto().DataType.Name(tensor.data_type).removeprefix("TYPE_")
            target.add(
                name=tensor.name, datatype="BYTES" if kind == "STRING" else kind,
                shape=[*front, *tensor.dims],
            )  # fmt: skip
    return made
