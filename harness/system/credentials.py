"""Secrets: written `${NAME}` in a scenario, read from the environment where they are used.

A scenario holds the placeholder, and so do the manifest, the journal and the report made from it.
Whoever sends the value asks for it here, which also notes it, so that `redact` can put the
placeholder back into text that came from elsewhere: a proxy may quote a token in its error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from harness.errors import SetupError

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHORTEST = 6
"""Values with fewer characters are not looked for in texts: they would be found in other words."""
_SENSITIVE = re.compile(r"authorization|cookie|token|secret|passw|api-?key|credential", re.I)

_placeholders: dict[str, str] = {}
"""Value → placeholder, of everything that this process has expanded."""


def expand(text: str) -> str:
    """`text` with each `${NAME}` replaced by that environment variable.

    Raises SetupError for a variable that is not set, is empty, or can't stand in a header.
    """
    return PLACEHOLDER.sub(lambda found: _value(found[1], found[0]), text)


def _value(name: str, placeholder: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SetupError(
            f"the scenario needs the environment variable {name}, which is not set",
            fix=f"export {name}=…, then run again",
        )
    if not value.isprintable():
        raise SetupError(
            f"the environment variable {name} holds a line break or another control character",
            fix=f"set it again without one; {name}=$(cat FILE) drops a line break at the end",
        )
    if len(value) >= SHORTEST:
        _placeholders[value] = placeholder
    return value


def redact(text: str) -> str:
    """`text` with the values that were expanded turned back into their placeholders."""
    for value in sorted(_placeholders, key=len, reverse=True):
        text = text.replace(value, _placeholders[value])
    return text


def redact_all(value: object) -> object:
    """The same for every text in nested mappings and lists; the value itself if there are none."""
    if not _placeholders:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact_all(key): redact_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value


def is_sensitive(header: str) -> bool:
    """Whether a header of that name carries what must not be written into a file."""
    return _SENSITIVE.search(header) is not None
