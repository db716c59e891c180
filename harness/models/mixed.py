"""A forward in 16 bits, also where its own code mixes them with fp32, as `mask.float()` does.

PyTorch multiplies only what is of one type. Where the first forward fails, it is tried under
torch.autocast, which casts the operands of each operator to what that wants; where it works so,
every request runs under it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path

import torch
from torch import nn

from harness.errors import BackendError, translate


class Mixed:
    """Calls `forward`: a module, whose weights are of a 16-bit `dtype`, or what was compiled of it.

    Where that is under autocast, `details` has a `note` of it.
    """

    def __init__(
        self, forward: Callable[..., object], module: nn.Module, dtype: torch.dtype,
        details: MutableMapping[str, object],
    ) -> None:  # fmt: skip
        self._forward, self._module, self._dtype = forward, module, dtype
        self._details = details
        self._device = "cpu"
        self._autocast: bool | None = None
        """None before the first forward."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        """What forward returns. Raises BackendError, naming the layer, where neither way works."""
        if self._autocast is None:
            result = self._first(*args, **kwargs)
            if self._forward is self._module:
                return result
        if self._autocast:
            with torch.autocast(self._device, self._dtype):
                return self._forward(*args, **kwargs)
        return self._forward(*args, **kwargs)

    def _first(self, *args: object, **kwargs: object) -> object:
        """The module's own first: what is compiled may mix types at some shapes only."""
        try:
            result = self._module(*args, **kwargs)
        except RuntimeError as error:
            if type(why := translate(error)) is not BackendError:  # no memory, no device
                raise
            tensors = (t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor))
            self._device = next(tensors, torch.empty(0)).device.type
            try:
                with torch.autocast(self._device, self._dtype):
                    result = self._module(*args, **kwargs)
            except Exception:
                raise BackendError(
                    f"{self._place(error)} does not run in {str(self._dtype)[6:]}: {why}",
                    fix="cast there to the type of the weights (`mask.to(x.dtype)` for "
                    "`mask.float()`, `torch.finfo(x.dtype).min` for -1e9), or change `precision`",
                ) from error
            self._details["note"] = f"it runs under torch.autocast: forward mixes types ({why})"
        self._autocast = "note" in self._details
        return result

    def _place(self, error: Exception) -> str:
        """The layer in which it was raised, and the line of code, not PyTorch's where it can be."""
        names = {id(part): name for name, part in self._module.named_modules()}
        inside = [
            (names[part], f"{Path(frame.f_code.co_filename).name}:{line}")
            for frame, line in traceback.walk_tb(error.__traceback__)
            if (part := id(frame.f_locals.get("self"))) in names
            and "/torch/" not in frame.f_code.co_filename
        ]
        layer, place = inside[-1] if inside else ("", "its code")
        return f"layer '{layer}' ({place})" if layer else f"forward ({place})"
