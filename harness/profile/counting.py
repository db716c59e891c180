"""What each operator of a PyTorch module does: FLOP by PyTorch's own counter, and bytes moved.

Counted on one call, outside of every timed or profiled one. Keys are those of the profiler's
outermost operators. Bytes are those of the tensors that go in and come out, each once: what a
cache keeps between operators is not known, and a view moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from harness.inspect.trace import Key, shapes

PICKS = frozenset({"aten::embedding", "aten::index_select", "aten::gather", "aten::index"})
"""They read as much of their table as comes out, not all of it."""


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches a call under `inference_mode`; `work` has one call's FLOP and bytes by operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.work: dict[Key, tuple[float, float]] = {}

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:  # fmt: skip
        """Carry it out, and count what it and all within it does."""
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        with FlopCounterMode(display=False) as counter:
            out = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        name = str(func._schema.name)
        moved = _moved(name, given, made, changes=bool(func._schema.is_mutable))
        flop = float(counter.get_total_flops())
        self.work[name, shapes(_dims(args, kwargs))] = flop, moved
        return out


def count(module: torch.nn.Module, args: Iterable[Tensor], kwargs: Mapping[str, Tensor]) -> dict[
    Key, tuple[float, float]
]:  # fmt: skip
    """The work of every operator of one call."""
    with torch.inference_mode(), Counter() as counter:
        module(*args, **kwargs)
    found: dict[Key, tuple[float, float]] = counter.work
    return found


def _moved(name: str, given: list[Tensor], made: list[Tensor], *, changes: bool) -> float:
    places = {t.untyped_storage().data_ptr() for t in given}
    if made and not changes and all(t.untyped_storage().data_ptr() in places for t in made):
        return 0.0  # a view
    out = sum(map(_size, made))
    if name in PICKS:
        return float(2 * out + sum(_size(t) for t in given if not t.is_floating_point()))
    return float(out + sum(map(_size, given)))


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _dims(args: object, kwargs: Mapping[str, Any] | None) -> list[object]:
    """Shapes as the profiler has them, which knows arguments by their place."""
    return list(_each([*(args if isinstance(args, tuple) else ()), *(kwargs or {}).values()]))


def _each(items: Iterable[object]) -> Iterator[object]:
    for item in items:
        if isinstance(item, Tensor):
            yield list(item.shape)
        elif isinstance(item, list | tuple):
            yield [list(t.shape) for t in item if isinstance(t, Tensor)]
