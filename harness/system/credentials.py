"""Secrets: written `${NAME}` in a scenario, read from the environment where they are used.

A scenario holds the placeholder, and so do the manifest, the journal and the report made from it.
Whoever sends the value asks for it here, which also notes it, so that `redact` can put the
placeholder back into text that came from elsewhere: a proxy may quote a token in its error.
"""

from __future__ import annotations

import base64
import functools
import html
import os
import re
from collections.abc import Iterator, Mapping

from harness.errors import SetupError
from harness.system.text import T, every_text, harmless

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SHORTEST = 6
"""Values with fewer characters are not looked for in texts: they would be found in other words."""
_SENSITIVE = re.compile(
    r"auth|cookie|token|secret|pass|pwd|key|credential|session|signature|jwt|bearer", re.I
)
_SCHEME = re.compile(r"\s*(basic|bearer|digest|token|apikey|negotiate)\b", re.I)
_PART = rf"(?:[\w-]+=)?\"?{PLACEHOLDER.pattern}\"?"
_HIDDEN = re.compile(rf"(?:[A-Za-z]+ +)?{_PART}(?:[;,: ]+{_PART})*")

_placeholders: dict[str, str] = {}
"""Value → placeholder, of everything that this process has expanded."""


def expand(text: str) -> str:
    """`text` with each `${NAME}` replaced by that environment variable.

    Raises SetupError for a variable that is not set, is empty, or can't stand in a header.
    """
    notice(text)
    return PLACEHOLDER.sub(lambda found: _value(found[1]), text)


def _value(name: str) -> str:
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
    return value


def notice(text: str) -> None:
    """Redact what the variables in `text` hold, where they are only read about: in the process
    that shows what another has printed.
    """
    for found in PLACEHOLDER.finditer(text):
        if len(value := os.environ.get(found[1], "")) >= SHORTEST:
            _placeholders[value] = found[0]


def known() -> dict[str, str]:
    """Value → placeholder, for a process that sends values which it did not expand."""
    return dict(_placeholders)


def learn(values: Mapping[str, str]) -> None:
    """Redact these from now on, too."""
    _placeholders.update(values)


def redact(text: str) -> str:
    """`text` with the values that were expanded turned back into their placeholders.

    A value is found as it is, escaped (JSON, repr, HTML), URL-encoded and in base64, there also
    inside of something longer, as in `Basic` of `user:password`.
    """
    for value in sorted(_placeholders, key=len, reverse=True):
        text = _pattern(value).sub(lambda _, name=_placeholders[value]: name, text)  # type: ignore[misc]
    return text


def outward(text: str) -> str:
    """`text` as it may be shown: without secrets, and `harmless`."""
    return harmless(redact(text))


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of `text`. What is cut is redacted before: nobody finds half a
    value afterwards.
    """
    text = outward(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def redact_all(value: T) -> T:
    """`redact` for every text in nested mappings and lists."""
    return every_text(value, redact) if _placeholders else value


@functools.cache
def _pattern(value: str) -> re.Pattern[str]:
    return re.compile("|".join(["".join(map(_spellings, value)), *_base64(value.encode())]))


def _spellings(character: str) -> str:
    """A pattern of the ways in which a character is written in JSON, Python, HTML and URLs."""
    units = character.encode("utf-16-be").hex()
    octets = [f"{octet:02x}" for octet in character.encode()]
    ways = [
        "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4)),
        "".join(rf"\\+x{octet}" for octet in octets),
        "".join(rf"%(?:25)*{octet}" for octet in octets),
        rf"\\+[xu]0*{ord(character):x}", rf"&#0*{ord(character)};", rf"&#x0*{ord(character):x};",
    ]  # fmt: skip
    plain = [re.escape(character), re.escape(html.escape(character))]
    plain += [r"\+"] if character == " " else []
    escape = "" if character.isalnum() else r"\\*"
    return f"(?:{escape}(?:{'|'.join(plain)})|(?i:{'|'.join(ways)}))"


def _base64(value: bytes) -> Iterator[str]:
    """Patterns of the base64 of whatever holds the value: its three places in a group of three."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + value).decode().rstrip("=")
        inner = whole[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        yield "".join({"+": "[+-]", "/": "[/_]"}.get(letter, letter) for letter in inner)


def is_sensitive(header: str, value: str = "") -> bool:
    """Whether a header of that name, or with that value, carries what must not be in a file."""
    return bool(_SENSITIVE.search(header) or _SCHEME.match(value))


def is_hidden(value: str) -> bool:
    """Whether every part of a header that may be a secret is a variable.

    Beside variables there may be a scheme (`Bearer`) and the names of cookies.
    """
    return _HIDDEN.fullmatch(value) is not None
