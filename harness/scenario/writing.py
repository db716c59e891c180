"""Values and comments as YAML text, for scenarios that are written rather than read."""

from __future__ import annotations

import io
import re

from ruamel.yaml import YAML

from harness.system.text import harmless


def flow(value: object) -> str:
    """A value on one line, as YAML, without aliases and with every brace."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, 2**20
    stream = io.StringIO()
    yaml.dump({"v": value}, stream)
    return stream.getvalue().strip().removeprefix("{v: ").removesuffix("}")


def one_line(text: str) -> str:
    """Text for a comment: nothing in it ends the line."""
    return harmless(" ".join(text.split()) if "\n" in text or "\r" in text else text)


def scenario_name(text: str) -> str:
    """A name that a scenario or a model may have, as near to `text` as it goes."""
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)[:80]
    return plain if re.match(r"[A-Za-z0-9]", plain) else f"m{plain}"[:80]
