"""Changes to a model's configuration, on Triton's ModelConfig message: never by pasting text.

`settle` writes what a backend of the scenario asks for into the message; `write_variant` makes a
model directory from one that the user has, with a changed configuration::

    OUTPUT/resnet50_i2-mb8/config.pbtxt    the parsed configuration, changed
    OUTPUT/resnet50_i2-mb8/1 → …           everything else is linked, not copied
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import ModelRefusedError, ServerError
from harness.scenario.spec.colocated import Batching
from harness.scenario.variants import DEFAULT_CONFIG
from harness.system.files import read_bytes, write_text
from harness.triton.client.settings import TritonSettings
from harness.triton.metadata import ConfigMessage, proto

CONFIG = "config.pbtxt"
LARGEST = 2**24
"""Bytes of a configuration or a model.py; nobody writes larger ones."""
OTHERWISE = {
    "sequence_batching": "the requests of a sequence belong together",
    "ensemble_scheduling": "it only passes requests on to the models of its steps",
}
"""How else Triton schedules the requests of a model, and why the dynamic batcher can't instead."""


def served_name(model: str, config: str) -> str:
    """The name under which a config of a model is served: `resnet50`, or `resnet50_i2-mb8`."""
    return model if config == DEFAULT_CONFIG else f"{model}_{config}"


def read_config(directory: Path) -> ConfigMessage:
    """The ModelConfig of a model directory; an empty one where Triton is to complete it.

    Raises ServerError when it can't be read.
    """
    found = proto()
    path = directory / CONFIG
    if not path.exists():
        return found.ModelConfig(name=directory.name)
    try:
        text = read_bytes(path, LARGEST).decode("utf-8")
        config = found.from_text(text, found.ModelConfig())
    except Exception as error:  # protobuf's ParseError, without importing protobuf here
        words = " ".join(str(error).split())
        raise ServerError(f"{path} can't be read: {words}") from None
    config.name = directory.name
    return config


def set_batching(config: ConfigMessage, batching: Batching) -> list[str]:
    """Turn the dynamic batcher on with these settings; notes on what Triton would not take.

    Raises ModelRefusedError for a model that is scheduled otherwise.
    """
    _check_scheduling(config.name, filter(config.HasField, OTHERWISE))
    config.dynamic_batching.SetInParent()
    if batching.queue_delay is not None:
        delay = round(batching.queue_delay * 1e6)
        config.dynamic_batching.max_queue_delay_microseconds = delay
    if batching.preferred is None:
        return []
    fitting = [size for size in batching.preferred if size <= config.max_batch_size]
    config.dynamic_batching.ClearField("preferred_batch_size")
    config.dynamic_batching.preferred_batch_size.extend(fitting)
    left = [str(size) for size in batching.preferred if size not in fitting]
    if not left:
        return []
    return [f"preferred batch size {', '.join(left)} is above max_batch_size "
            f"{config.max_batch_size} and was left out"]  # fmt: skip


def _check_scheduling(name: str, otherwise: Iterable[str]) -> None:
    """Raise ModelRefusedError where the dynamic batcher would silently take another's place."""
    for other in otherwise:
        raise ModelRefusedError(
            f"dynamic batching can't be put over the {other} of '{name}': {OTHERWISE[other]}",
            fix="leave dynamic_batching out for this model",
        )


def merged(config: ConfigMessage, fields: Mapping[str, object]) -> ConfigMessage:
    """A new message with `fields` put into it: mappings are merged, lists and values replaced.

    A member of a oneof takes the place of the one that is there; `null` takes a field out. Raises
    ModelRefusedError where Triton has no such field or value, or the model does not go with it.
    """
    if not fields:
        return config
    if fields.get("dynamic_batching") is not None:
        kept = (o for o in OTHERWISE if config.HasField(o) and fields.get(o, o) is not None)
        _check_scheduling(config.name, kept)
    found = proto()
    try:
        whole = _merge(found.to_dict(config), fields, config.DESCRIPTOR)
        return found.strict_from_dict(whole, found.ModelConfig())
    except Exception as error:  # protobuf's ParseError, without importing protobuf here
        words = " ".join(str(error).split())
        raise ModelRefusedError(
            f"`config` does not fit Triton's model configuration: {words}",
            fix="write its fields as protobuf does in JSON, "
            "like {parameters: {key: {string_value: text}}}",
        ) from None


def _merge(old: Mapping[str, object], new: Mapping[str, object], message: Any) -> dict[str, object]:
    """`message` is protobuf's descriptor of both; None where Triton has no such message."""
    result = dict(old)
    for key, value in new.items():
        field = message and message.fields_by_name.get(key)
        if field and field.containing_oneof and value is not None:
            for other in {f.name for f in field.containing_oneof.fields} - {*new}:
                result.pop(other, None)
        before = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            within = field and field.message_type
            result[key] = _merge(before if isinstance(before, Mapping) else {}, value, within)
        else:
            result[key] = value
    return result


def settle(config: ConfigMessage, spec: TritonSettings) -> tuple[ConfigMessage, list[str]]:
    """The configuration of a user's model as `spec` (single values) wants it, and notes.

    What `spec` leaves out stays as it is. A max batch beyond what a TensorRT engine was configured
    for is clipped: Triton would not load it. Raises ServerError.
    """
    notes: list[str] = []
    if spec.instances is not None:
        _set_instances(config, spec.instance_count)
    if spec.max_batch is not None:
        notes += _set_max_batch(config, spec.max_batch)
    if spec.dynamic_batching is not None:
        if spec.batching is None:
            config.ClearField("dynamic_batching")
        else:
            notes += set_batching(config, spec.batching)
    fields = spec.config_fields
    if spec.version is not None:
        fields = {"version_policy": {"specific": {"versions": [spec.version]}}, **fields}
    found = merged(config, fields)
    if spec.batching is not None:
        _check_scheduling(config.name, filter(found.HasField, OTHERWISE))
    return found, notes


def _set_instances(config: ConfigMessage, count: int) -> None:
    """As many instances, of the first group's kind and devices."""
    groups = list(config.instance_group)[:1] or [proto().ModelInstanceGroup()]
    groups[0].count = count
    kept = [type(group).FromString(group.SerializeToString()) for group in groups]
    config.ClearField("instance_group")
    config.instance_group.extend(kept)


def _set_max_batch(config: ConfigMessage, size: int) -> list[str]:
    limit = config.max_batch_size
    plan = config.platform == "tensorrt_plan" or config.backend == "tensorrt"
    if plan and 0 < limit < size:
        return [f"max_batch_size {size} is more than the {limit} that the TensorRT engine was "
                f"configured for; it is served with {limit}"]  # fmt: skip
    config.max_batch_size = size
    return []


# -------------------------------------------------------------------------------- model directories


def link_models(output: Path, repository: Path) -> None:
    """Link every model of the user's repository into `output`, so that one server sees them all."""
    output.mkdir(parents=True, exist_ok=True)
    for directory in repository.iterdir():
        link = output / directory.name
        if directory.is_dir() and not link.exists():
            link.symlink_to(directory.resolve(), target_is_directory=True)


def write_variant(output: Path, source: Path, name: str, spec: TritonSettings) -> list[str]:
    """Write `output`/`name`: the model of `source` with the configuration `spec` wants; notes.

    Raises ServerError.
    """
    if not source.is_dir():
        raise ServerError(f"{source.parent} has no model '{source.name}'")
    config, notes = settle(read_config(source), spec)
    config.name = name
    directory = output / name
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.name != CONFIG:
            (directory / entry.name).symlink_to(entry.resolve())
    write_text(directory / CONFIG, proto().text(config))
    return notes


def finalizes(directory: Path) -> bool:
    """Whether a model has, or may have, something to do when it is unloaded: a Python model whose
    model.py speaks of `finalize`, and every model of another kind.
    """
    models = list(directory.glob("*/model.py"))
    return not models or any(b"finalize" in read_bytes(path, LARGEST) for path in models)


def is_plain(directory: Path) -> bool:
    """Whether a user's model is a Python model with a whole configuration, which neither completes
    it in code nor finalizes.
    """
    models = [read_bytes(path, LARGEST) for path in directory.glob("*/model.py")]
    if not models or any(b"auto_complete_config" in text for text in models):
        return False
    config = read_config(directory)
    whole = config.backend == "python" and config.input and config.output
    return bool(whole) and not finalizes(directory)
