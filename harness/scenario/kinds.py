"""Which kinds of backend there are: a name → `module:Class` of its settings.

The table of `harness.backends.registry` fills this one when `harness` is imported. A module with
settings is imported when they are first looked at, so that registering costs nothing.
"""

from __future__ import annotations

import importlib

from harness.errors import UsageError

SETTINGS: dict[str, str] = {}
"""Kind → `module:Class`, in the order in which messages and docs name the kinds."""


def register(kind: str, settings: str) -> None:
    """Say where the settings of `kind` are. Raises UsageError where the kind has others."""
    if SETTINGS.setdefault(kind, settings) != settings:
        raise UsageError(f"the backend kind '{kind}' is taken: its settings are {SETTINGS[kind]}")


def import_path(path: str) -> object:
    """What `module:name` stands for. Raises UsageError where there is no such thing."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if not module.startswith(str(error.name)):
            raise  # the module is there, but something that it imports is not
        raise UsageError(f"{path}: there is no module {error.name}") from None
    except AttributeError:
        raise UsageError(f"{path}: {module} has no {name or 'name after the colon'}") from None
