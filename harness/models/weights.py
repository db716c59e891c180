"""State dicts: read without running code, loaded strictly, hashed, counted."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from harness.errors import UsageError

QUANTIZED = re.compile(r"\bops\.quantized\w*\.(\w+)")
"""In the code of a program or of TorchScript."""
SHOWN = 3
"""How many state-dict keys an error names."""


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a state-dict file, strictly. Raises UsageError saying which keys do not fit."""
    found, wanted = read_weights(path), module.state_dict()
    missing, unexpected = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    shapes = [
        f"{key}: {list(found[key].shape)} in the file, {list(value.shape)} in the model"
        for key, value in wanted.items()
        if isinstance(value, Tensor) and key in found and found[key].shape != value.shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("with another shape", shapes))
    problems = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds if keys]
    if problems:
        raise UsageError(f"{path} does not fit the model: {'; '.join(problems)}")
    module.load_state_dict(found)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file written by torch.save, without running code from it."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except Exception as error:
        raise UsageError(
            f"{path} is not a state dict: {one_line(error)[:200]}",
            fix="write it with torch.save(model.state_dict(), path)",
        ) from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or (
        found and not any(isinstance(v, Tensor) for v in found.values())
    ):
        raise UsageError(f"{path} holds a {type(found).__name__}, expected a state dict")
    return found  # with what it knows of its modules' versions


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (", …" if len(keys) > SHOWN else "")


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of the state dict."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(
            f"{name} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}".encode()
        )
        for leaf in pytree.tree_leaves(value):  # a quantized layer's weight and bias are a pair
            if isinstance(leaf, Tensor):
                plain = (leaf.dequantize() if leaf.is_quantized else leaf).detach().cpu()
                raw = plain.contiguous().reshape(-1).view(torch.uint8)
                digest.update(raw.numpy().tobytes())
            else:
                digest.update(repr(leaf).encode())
    return digest.hexdigest()


def weights_precision(module: nn.Module) -> str:
    """What a module is in: what a layer is quantized to, else as most of its weights are."""
    tensors = [t for t in pytree.tree_leaves(module.state_dict()) if isinstance(t, Tensor)]
    kinds = {str(t.dtype) for t in tensors if t.is_quantized}
    for part in module.modules():
        with contextlib.suppress(RuntimeError):  # TorchScript's without a forward
            if hasattr(part, "graph"):
                kinds.update(QUANTIZED.findall(str(getattr(part, "code", ""))))
        if ".quantized." in type(part).__module__ and hasattr(part, "dtype"):
            kinds.add(str(part.dtype))  # an LSTM's weights are packed where none can see them
    if kinds:
        fp16 = all(re.search("fp16|float16", kind) for kind in kinds)
        return "int4" if "torch.quint4x2" in kinds else "fp16" if fp16 else "int8"
    sizes = Counter({"fp32": 0})
    for tensor in tensors:
        if tensor.is_floating_point() or tensor.dtype == torch.int8:  # not counters and masks
            word = str(tensor.dtype)[6:].replace("bfloat", "bf").replace("float", "fp")
            sizes[word.partition("_")[0]] += tensor.numel()
    return max(sizes, key=lambda word: sizes[word])


def parameter_count(module: nn.Module) -> int:
    """Number of weights, shared ones once, buffers not."""
    return sum(p.numel() for p in module.parameters())


def one_line(error: BaseException) -> str:
    """Type and message of an exception, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
