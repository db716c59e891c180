"""Which package gives which module, for errors that say what to install."""

from __future__ import annotations

import importlib
import shlex
import sys
from types import ModuleType

from harness.errors import (
    MissingPackageError,
    SetupError,
)

REQUIREMENTS: dict[str, str] = {
    "cuda": "cuda-python",
    "locust": "locust>=2.32",
    "onnx": "onnx>=1.18",
    "onnxconverter_common": "onnxconverter-common>=1.14",
    "onnxruntime": "onnxruntime>=1.20",
    "onnxscript": "onnxscript>=0.3",
    "optuna": "optuna>=4.0",
    "PIL": "pillow>=10",
    "plutoprint": "plutoprint>=0.14",
    "pynvml": "nvidia-ml-py>=12.560",
    "ruamel": "ruamel.yaml>=0.18",
    "tensorrt_rtx": "tensorrt-rtx-cu13>=1.4",
    "torch": "torch>=2.6",
    "tritonclient": "tritonclient[all]>=2.50",
}
"""Import name → requirement as in pyproject.toml; a module not listed has its package's name."""


def install_command(module: str) -> str:
    """The command that installs what provides `module`, for this interpreter."""
    top = module.partition(".")[0]
    requirement = shlex.quote(REQUIREMENTS.get(top, top.replace("_", "-")))
    return f"{shlex.quote(sys.executable)} -m pip install {requirement}"


def missing_package(error: ModuleNotFoundError) -> MissingPackageError:
    """The error a user understands for a module that can't be imported."""
    name = error.name or "unknown"
    return MissingPackageError(
        f"the Python package that provides '{name.partition('.')[0]}' is not installed",
        fix=install_command(name),
    )


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
