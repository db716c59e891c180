"""`model_config_parameters`: each combination that Model Analyzer would sweep, as keys here.

Where a field of Triton's ModelConfig takes one value, a list holds alternatives; where it takes
a list, a list of lists does. Which field is which is read from the message's own description.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from harness.errors import did_you_mean
from harness.migrate import values
from harness.migrate.table import BadValueError
from harness.scenario.wording import nearest

Fields = dict[str, object]


def alternatives(found: object, message: Descriptor, path: str = "") -> list[Fields]:
    """Every combination of a mapping's fields, in their order. Raises BadValueError."""
    if not isinstance(found, Mapping):
        raise BadValueError(f"{path or 'model_config_parameters'}: expected a mapping")
    choices = []
    for key, value in found.items():
        where = f"{path}.{key}".removeprefix(".")
        field = message.fields_by_name.get(key)
        if field is None:
            hint = did_you_mean(nearest(key, message.fields_by_name))
            raise BadValueError(f"{where}: config.pbtxt has no such field{hint}")
        choices.append([(key, v) for v in _of_field(value, field, where)])
    return [dict(combination) for combination in itertools.product(*choices)]


def _of_field(value: object, field: FieldDescriptor, path: str) -> list[object]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        return [value]
    if not field.is_repeated:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise BadValueError(f"{path}: an empty list stands for no value")
        return [a for item in items for a in _one(item, message, path)]
    written: list[object] = value if isinstance(value, list) else [value]
    nested = [item for item in written if isinstance(item, list)]
    lists = nested if nested and len(nested) == len(written) else [written]
    found: list[object] = []
    for items in lists:
        each = [_one(item, message, f"{path}[{i}]") for i, item in enumerate(items)]
        found += [list(combination) for combination in itertools.product(*each)]
    return found


def _one(item: object, message: Descriptor | None, path: str) -> list[object]:
    if message is None:
        if isinstance(item, dict | list):
            raise BadValueError(f"{path}: expected one value, found {type(item).__name__}")
        return [item]
    return list(alternatives({} if item is None else item, message, path))


# ------------------------------------------------------------------------------------------- keys


def keys_of(found: object, *, cpu_only: bool = False) -> Fields:
    """`instances`, `max_batch_size`, `dynamic_batching` and `config` that stand for the same."""
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    fields = dict(found) if isinstance(found, Mapping) else found
    combinations = alternatives(fields, ModelConfig.DESCRIPTOR)
    made: Fields = {}
    left = [dict(c) for c in combinations]
    if sizes := _values(left, "max_batch_size"):
        made["max_batch_size"] = [values.integer(size, 0) for size in sizes]
        _take(left, "max_batch_size")
    counts = [_count(groups, cpu_only) for groups in _values(left, "instance_group")]
    if counts and None not in counts:
        made["instances"] = counts
        _take(left, "instance_group")
    elif cpu_only:
        _on_cpu(left)
    batching = [_batching(b) for b in _values(left, "dynamic_batching")]
    if batching and None not in batching:
        made["dynamic_batching"] = batching
        _take(left, "dynamic_batching")
    config = _distinct(c for c in left if c)
    if config:
        made["config"] = config
    return {key: single(value) for key, value in made.items()}


def on_cpu(counts: Iterable[int]) -> object:
    """Instances on the CPU: as `config`, because `instances` keeps the kind of config.pbtxt."""
    groups = [{"instance_group": [{"kind": "KIND_CPU", "count": count}]} for count in counts]
    return single(list(groups))


def single(found: object) -> object:
    """A list of one is its value: it varies nothing."""
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def _values(combinations: Iterable[Fields], key: str) -> list[object]:
    return _distinct(c[key] for c in combinations if key in c)


def _distinct(found: Iterable[object]) -> list[object]:
    kept: list[object] = []
    for item in found:
        if item not in kept:
            kept.append(item)
    return kept


def _take(combinations: list[Fields], key: str) -> None:
    for combination in combinations:
        combination.pop(key, None)


def _count(groups: object, cpu_only: bool) -> int | None:
    """The count of a single group on the GPU or wherever; None where more is said of it."""
    if not isinstance(groups, list) or len(groups) != 1 or cpu_only:
        return None
    group = dict(groups[0])
    kind = group.pop("kind", "KIND_AUTO")
    count = values.integer(group.pop("count", 1))
    return None if group or kind not in ("KIND_AUTO", "KIND_GPU") else count


def _on_cpu(combinations: list[Fields]) -> None:
    """`cpu_only` where groups don't name a kind themselves."""
    for combination in combinations:
        groups = combination.get("instance_group")
        if isinstance(groups, list):
            combination["instance_group"] = [{"kind": "KIND_CPU", **group} for group in groups]


def _batching(found: object) -> object:
    """`dynamic_batching` of the scenario; None where it has more fields than that has."""
    assert isinstance(found, Mapping)
    if set(found) - {"max_queue_delay_microseconds", "preferred_batch_size"}:
        return None
    made: Fields = {}
    if "preferred_batch_size" in found:
        made["preferred"] = found["preferred_batch_size"]
    if "max_queue_delay_microseconds" in found:
        made["queue_delay"] = f"{values.integer(found['max_queue_delay_microseconds'], 0)}us"
    return made or True
