"""What both protocols do alike, on a client that remembers what it was asked."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from harness.errors import BackendError, ServerError
from harness.system.network import Access
from harness.triton.client import errors
from harness.triton.client.common import ServerTarget
from harness.triton.client.connection import Connection


class Reply:
    def as_numpy(self, name: str) -> np.ndarray:
        return np.ones((2, 1), np.float32)


class Client:
    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.headers: dict[str, str] = {}

    def __getattr__(self, call: str) -> Any:
        def answer(*arguments: Any, **more: Any) -> Any:
            self.asked.append((call, more))
            if call == "infer" and arguments[1] == "bad":
                raise ValueError("foreign")
            return {"infer": Reply()}.get(call, False)

        return answer

    def register_plugin(self, plugin: Any) -> None:
        plugin(self)


class Plain(Connection):
    protocol = "http"

    def connect(self) -> Any:
        self.limit = {"client_timeout": 2.0}
        return Client()

    def patience(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def request_errors(self) -> errors.ErrorTable:
        return ((ValueError, lambda target, error: BackendError(f"{target.name}: {error}")),)

    def setup_errors(self) -> errors.ErrorTable:
        return ((KeyError, lambda target, error: ServerError(f"{target.name}: {error.args[0]}")),)

    def names(self, reply: Any) -> list[str]:
        return ["flat", "square"]


def opened() -> tuple[Plain, Client]:
    access = Access(headers=(("x-key", "1"),))
    made = Plain(ServerTarget("h:1", "m", 2.0, {"flat": 1}, access))
    return made, made.client  # type: ignore[return-value]


def test_a_request_carries_its_limit_and_its_foreign_error_is_ours() -> None:
    connection, client = opened()
    connection.infer("good", "where")
    assert client.asked == [("infer", {"outputs": "where", "client_timeout": 2.0})]
    with pytest.raises(BackendError, match="m: foreign"):
        connection.infer("bad")


def test_outside_requests_a_foreign_error_is_ours_and_any_other_is_itself() -> None:
    connection, _ = opened()
    with pytest.raises(ServerError, match="m: odd") as caught, connection.setting_up():
        raise KeyError("odd")
    assert caught.value.__suppress_context__
    with pytest.raises(ValueError, match="itself"), connection.setting_up():
        raise ValueError("itself")
    with connection.setting_up():
        pass


def test_only_flat_outputs_lose_the_axis_that_triton_adds() -> None:
    connection, _ = opened()
    shapes = {name: array.shape for name, array in connection.outputs(Reply()).items()}
    assert shapes == {"flat": (2,), "square": (2, 1)}
    assert connection.arrays(Reply())["flat"].shape == (2, 1)


def test_headers_are_registered_before_anything_is_asked() -> None:
    _, client = opened()
    assert (client.headers, client.asked) == ({"x-key": "1"}, [])


def test_who_is_not_ready_is_asked_who_it_is_first() -> None:
    connection, client = opened()
    with connection, pytest.raises(ServerError, match="no model 'm' ready"):
        connection.describe()
    calls = [call for call, _ in client.asked]
    assert calls == [
        "is_model_ready", "get_server_metadata", "get_model_repository_index", "close"
    ]  # fmt: skip
