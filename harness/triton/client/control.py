"""Loading a model on a server that somebody else runs, where it allows that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import ServerError
from harness.models.tensors import TensorSpec
from harness.scenario.spec.server import access_of
from harness.system.network import PLAIN, Access
from harness.triton.client import common
from harness.triton.client.settings import TritonSettings

LOAD_S = 300.0
"""How long loading, or asking about it, may take."""


def load_remote(spec: TritonSettings, name: str) -> Callable[[], None]:
    """Load a model that is not ready on `server.url`; what unloads it again, and closes.

    A model that is ready stays as it is, and is not unloaded: others may use it.
    Raises ServerError with the server's own reason, SetupError for a variable that is not set.
    """
    assert spec.server.url is not None
    target = common.Target(spec.server.url, name, LOAD_S, access=access_of(spec.server))
    client = _connect(spec.protocol, target)
    try:
        if client.is_model_ready(name, **_limit(spec.protocol)):
            client.close()
            return lambda: None
        client.load_model(name, **_limit(spec.protocol))
    except Exception as error:
        with contextlib.suppress(Exception):
            client.close()
        raise _refused(target, name, error) from None
    return lambda: _unload(client, name, _limit(spec.protocol))


def _connect(protocol: str, target: common.Target) -> Any:
    if protocol == "http":
        from harness.triton.client.http import connect
    else:
        from harness.triton.client.grpc import connect
    return connect(target)


def _limit(protocol: str) -> dict[str, float]:
    """The HTTP client was given its time limit when it was made."""
    return {"client_timeout": LOAD_S} if protocol == "grpc" else {}


def _unload(client: Any, name: str, limit: Mapping[str, float]) -> None:
    """Failing here changes no number: the measurements are done."""
    with contextlib.suppress(Exception):
        client.unload_model(name, **limit)
    with contextlib.suppress(Exception):
        client.close()


def _refused(target: common.Target, name: str, error: Exception) -> ServerError:
    from tritonclient.utils import InferenceServerException

    if not isinstance(error, InferenceServerException):
        return common.unreachable(target, error)
    return ServerError(
        f"Triton at {target.address} did not load '{name}': {common.said(error)}",
        fix="the server must run with --model-control-mode=explicit and have the model in its "
        "repository; without `load: true` the model must be loaded already",
    )


def describe(
    url: str, protocol: str, name: str, access: Access = PLAIN
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...], int, str]:
    """Inputs, outputs, max_batch_size and configuration text of a model on a server.

    Raises ServerError when the server or the model is not there or can't be measured.
    """
    if protocol == "http":
        from harness.triton.client.http import fetch
    else:
        from harness.triton.client.grpc import fetch

    found = fetch(url, name, access)
    return (
        found.signature.inputs, found.signature.outputs, found.max_batch_size, found.config,
    )  # fmt: skip
