"""Ways to run a model: see `harness.backends.base` for the seam and `registry` for the list."""

from __future__ import annotations

import importlib
from types import ModuleType

from harness.errors import (
    BackendError,
    HarnessError,
    MissingPackageError,
    OutOfMemoryError,
    SetupError,
)

_MEMORY = (
    "out of memory", "out_of_memory", "can't allocate memory", "failed to allocate memory",
    "bad_alloc", "alloc_failed", "cannot allocate memory",
    "is smaller than requested bytes",  # of ONNX Runtime's arenas, which have a limit
)  # fmt: skip
"""What the runtimes' messages say when memory runs out, in lower case."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the extra `extra` installs.

    Raises MissingPackageError when it is not there, or without packages that are an extra of its
    own; SetupError when it is there but can't be imported.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, module.partition(".")[0]):
            raise SetupError(f"{module} can't be imported: {error}") from error
        raise MissingPackageError(
            f"{module} is not installed", fix=f"pip install 'inference-harness[{extra}]'"
        ) from None
    except RuntimeError as error:
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise SetupError(f"{module} can't be imported: {error}") from error
        raise MissingPackageError(  # tritonclient, of which a protocol's packages are left out
            f"{module} can't be imported: {error.__cause__}",
            fix=f"pip install 'inference-harness[{extra}]'",
        ) from None
    except (ImportError, OSError) as error:  # a shared library that it needs is missing
        raise SetupError(f"{module} can't be imported: {error}") from error


def translate(error: Exception, doing: str = "") -> HarnessError:
    """The harness's exception for one that a runtime raised, with its type and message kept."""
    if isinstance(error, HarnessError):
        return error
    text = f"{doing + ': ' if doing else ''}{type(error).__name__}: {error}".rstrip(": ")
    full = f"{type(error).__name__} {error}".lower()
    if isinstance(error, MemoryError) or any(words in full for words in _MEMORY):
        return OutOfMemoryError(text)
    return BackendError(text)
