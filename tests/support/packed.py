"""What a report's page unpacks: gzip in base64 in a script element."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any


def unpacked_text(html: str, name: str) -> str:
    """The text in the element of this id."""
    found = re.search(rf'id="{name}">(.*?)</script>', html, re.S)
    assert found is not None, name
    return gzip.decompress(base64.b64decode(found.group(1))).decode()


def unpacked(html: str, name: str) -> dict[str, Any]:
    """The JSON in it."""
    found = json.loads(unpacked_text(html, name))
    assert isinstance(found, dict)
    return found
