"""Which package gives which module, and the one place that says how to install what is missing."""

from __future__ import annotations

import difflib
import importlib
import shlex
import sys
from collections.abc import Iterable
from types import ModuleType

from harness.errors import MissingPackageError, SetupError, UsageError, did_you_mean

REQUIREMENTS: dict[str, str] = {
    "cuda": "cuda-python",
    "gevent": "tritonclient[all]>=2.50",
    "geventhttpclient": "tritonclient[all]>=2.50",
    "google": "tritonclient[all]>=2.50",
    "grpc": "tritonclient[all]>=2.50",
    "hpack": "hpack>=4.0",
    "locust": "locust>=2.32",
    "mlflow": "mlflow-skinny>=3",
    "onnx": "onnx>=1.18",
    "onnxruntime": "onnxruntime>=1.20",
    "onnxscript": "onnxscript>=0.3",
    "optuna": "optuna>=4.0",
    "PIL": "pillow>=10",
    "plutoprint": "plutoprint>=0.14",
    "prometheus_client": "prometheus-client>=0.20",
    "pycuda": "pycuda>=2024.1",
    "pynvml": "nvidia-ml-py>=12.560",
    "ruamel": "ruamel.yaml>=0.18",
    "tensorrt_rtx": "tensorrt-rtx-cu13>=1.4",
    "torch": "torch>=2.6",
    "tritonclient": "tritonclient[all]>=2.50",
    "wandb": "wandb>=0.18",
}
"""Import name → requirement as in pyproject.toml, of all that can be missing.

`inference-harness[EXTRA]` is on no index, so it is never what an error says.
"""
ONNXRUNTIME_GPU = "onnxruntime-gpu>=1.20"
TENSORRT = ("tensorrt-cu13", "--extra-index-url", "https://pypi.nvidia.com")


def pip(*arguments: str) -> str:
    """A command of this interpreter's pip, for a shell."""
    return shlex.join([sys.executable, "-m", "pip", *arguments])


def install_command(module: str) -> str:
    """The command that installs what provides `module`, one of `REQUIREMENTS`."""
    return pip("install", REQUIREMENTS[_top(module)])


def onnxruntime_gpu_command() -> str:
    """The command that puts the build with CUDA in the place of the one without."""
    return f"{pip('uninstall', '--yes', 'onnxruntime')} && {pip('install', ONNXRUNTIME_GPU)}"


def how_to_install(module: str) -> str:
    """`install_command`; of a module that is not ours to know, as a user's own, what to check."""
    if _top(module) in REQUIREMENTS:
        return install_command(module)
    return (
        f"install the package that provides '{_top(module)}' for {sys.executable}, "
        "or add its folder to PYTHONPATH"
    )


def missing_package(error: ModuleNotFoundError) -> MissingPackageError:
    """The error a user understands for a module that can't be imported."""
    name = error.name or "unknown"
    return MissingPackageError(
        f"the Python package that provides '{_top(name)}' is not installed",
        fix=how_to_install(name),
    )


def cant_import(name: str, error: Exception) -> UsageError:
    """The error for a factory's module."""
    return UsageError(
        f"model.source.torch: can't import {name}: {type(error).__name__}: {error}",
        fix="put the module beside the scenario, or install its package",
    )


def no_attribute(name: str, attribute: str, there: Iterable[str]) -> UsageError:
    """The error for a module without the factory; `there` are the names that it has."""
    hint = did_you_mean(*difflib.get_close_matches(attribute, list(there), n=1))
    return UsageError(f"model.source.torch: {name} has no '{attribute}'{hint}")


def require(module: str) -> ModuleType:
    """Import `module`.

    Raises MissingPackageError when it is not there, or without packages that are an extra of its
    own; SetupError when it is there but can't be imported.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in (module, _top(module)):
            raise SetupError(f"{module} can't be imported: {error}") from error
        message = f"{module} is not installed"
    except RuntimeError as error:  # tritonclient, of which a protocol's packages are left out
        if not isinstance(error.__cause__, ModuleNotFoundError):
            raise SetupError(f"{module} can't be imported: {error}") from error
        message = f"{module} can't be imported: {error.__cause__}"
    except (ImportError, OSError) as error:  # a shared library that it needs is missing
        raise SetupError(f"{module} can't be imported: {error}") from error
    raise MissingPackageError(message, fix=how_to_install(module))


def _top(module: str) -> str:
    return module.partition(".")[0]
