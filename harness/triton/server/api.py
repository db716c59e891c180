"""The few calls of the KServe v2 HTTP API that starting and loading need, by the standard library.

The orchestrator uses these; everything that measures goes through the clients in
`harness.backends`.
"""

from __future__ import annotations

import http.client
import json
import select
from collections.abc import Callable
from urllib.parse import quote

from harness.system.network import split_address

TICK_S = 0.05


def call(
    address: str, method: str, path: str, body: object = None, *, timeout: float = 5.0,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[int, bytes]:  # fmt: skip
    """One request; (status, body). `waiting` is called every 50 ms and may raise to give up.

    Raises OSError or http.client.HTTPException when the server can't be reached or goes away,
    TimeoutError after `timeout` seconds.
    """
    connection = http.client.HTTPConnection(*split_address(address), timeout=timeout)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        for _ in range(max(1, round(timeout / TICK_S))):
            if select.select([connection.sock], [], [], TICK_S)[0]:
                break
            waiting()
        else:
            raise TimeoutError(f"no answer to {method} {path} in {timeout:g} s")
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def is_ready(address: str, model: str | None = None, *, timeout: float = 1.0) -> bool:
    """Whether the server, or one model on it, says it is ready; False when it can't be reached."""
    path = f"/v2/models/{quote(model)}/ready" if model else "/v2/health/ready"
    try:
        return call(address, "GET", path, timeout=timeout)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def error_text(body: bytes) -> str:
    """The message of an error answer: `{"error": "…"}`, or whatever else it holds."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found["error"]) if isinstance(found, dict) and "error" in found else text
