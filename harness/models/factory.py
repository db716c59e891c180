"""Models from a `module:callable` factory: import, call, and hash the code behind it."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from harness.errors import HarnessError, OutOfMemoryError, SetupError, UsageError, translate
from harness.models.cache import file_hash
from harness.models.torch_model import in_fp32
from harness.models.weights import load_weights, one_line
from harness.system.faults import known
from harness.system.packages import cant_import, no_attribute


def factory_of(source: Mapping[str, Any]) -> Callable[..., object]:
    """The callable that `module:callable` names; the scenario's folder is searched last.

    Raises UsageError naming what was not found.
    """
    name, _, attribute = str(source["torch"]).partition(":")
    with _search(source.get("base")):
        try:
            module = importlib.import_module(name)
        except Exception as error:
            _lack(error, but=name)
            raise cant_import(name, error) from error
    if hasattr(module, attribute):
        factory: Callable[..., object] = getattr(module, attribute)
        return factory
    raise no_attribute(name, attribute, vars(module))


def _lack(error: Exception, but: str = "") -> None:
    """Raise what this machine lacks where that was the reason: a package, memory, a GPU.

    Not for the module `but` itself, whose name the scenario has wrong.
    """
    if isinstance(error, ModuleNotFoundError) and f"{but}.".startswith(f"{error.name}."):
        return
    lack = known(translate(error) if isinstance(error, RuntimeError) else error)
    if isinstance(lack, SetupError | OutOfMemoryError):
        raise lack from error


@contextlib.contextmanager
def _search(base: str | None) -> Iterator[None]:
    """Let modules beside the scenario be imported, after everything that is installed."""
    if base is None or base in sys.path:
        yield
        return
    sys.path.append(base)
    try:
        yield
    finally:
        sys.path.remove(base)


def build(source: Mapping[str, Any]) -> nn.Module:
    """Call the factory with its kwargs, seeded; the module in eval mode, weights loaded.

    Raises UsageError when the factory raises or returns something else than a module.
    """
    factory, seed = factory_of(source), source.get("seed", 0)
    ref = source["torch"]
    try:
        with _search(source.get("base")), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)
            module = factory(**source.get("kwargs", {}))
    except HarnessError:
        raise
    except Exception as error:
        _lack(error)
        raise UsageError(f"model.source.torch: {ref} raised {one_line(error)}") from error
    if not isinstance(module, nn.Module):
        kind = type(module).__name__
        raise UsageError(f"model.source.torch: {ref} returned {kind}, expected a torch.nn.Module")
    if source.get("weights"):
        load_weights(module, Path(source["weights"]))
    for name, weight in module.named_parameters():
        if is_lazy(weight) or weight.is_meta:
            raise UsageError(
                f"model.source.torch: {ref} returned a module whose '{name}' has no values yet",
                fix="let the factory make them: call a lazy module once, leave the meta device",
            )
        weight.requires_grad_(False)  # not the module's, which TorchScript has not
    return in_fp32(module).eval()


def code_hash(factory: Callable[..., object]) -> str:
    """SHA-256 over the factory's source file and those of its package that it uses."""
    digest = hashlib.sha256()
    module = inspect.getmodule(factory)
    for path in sorted(_files(module, set()) if module else []):
        digest.update(file_hash(path).encode())
    return digest.hexdigest()


def _files(module: ModuleType, seen: set[str]) -> set[Path]:
    """Source files of `module` and of what its globals come from, within one package or folder."""
    seen.add(module.__name__)
    file = Path(getattr(module, "__file__", None) or "")
    files = {file} if file.suffix == ".py" and file.is_file() else set()
    for value in list(vars(module).values()):
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        other = sys.modules.get(name) if isinstance(name, str) and name not in seen else None
        if other is not None and _near(module, other):
            files |= _files(other, seen)
    return files


def _near(one: ModuleType, other: ModuleType) -> bool:
    if one.__name__.partition(".")[0] == other.__name__.partition(".")[0]:
        return True
    files = [getattr(m, "__file__", None) for m in (one, other)]
    return all(files) and Path(files[0] or "").parent == Path(files[1] or "").parent
