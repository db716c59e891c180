"""Loading a model on a server that somebody else runs, where it allows that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.errors import ServerError
from harness.scenario.spec.server import access_of
from harness.triton.client import errors
from harness.triton.client.backend import connect
from harness.triton.client.common import ServerTarget
from harness.triton.client.settings import TritonSettings

LOAD_S = 300.0
"""How long loading, or asking about it, may take."""


def load_remote(spec: TritonSettings, name: str) -> Callable[[], None]:
    """Load a model that is not ready on `server.url`; what unloads it again, and closes.

    A model that is ready stays as it is, and is not unloaded: others may use it.
    Raises ServerError with the server's own reason, SetupError for a variable that is not set.
    """
    assert spec.server.url is not None
    target = ServerTarget(spec.server.url, name, LOAD_S, access=access_of(spec.server))
    connection = connect(spec.protocol, target)
    client, limit = connection.client, connection.limit

    def unload() -> None:
        """Failing here changes no number: the measurements are done."""
        with contextlib.suppress(Exception):
            client.unload_model(name, **limit)
        with contextlib.suppress(Exception):
            connection.close()

    try:
        with connection.patience():
            if client.is_model_ready(name, **limit):
                connection.close()
                return lambda: None
            client.load_model(name, **limit)
    except Exception as error:
        with contextlib.suppress(Exception):
            connection.close()
        raise _refused(target, name, connection.setting_up.ours(error), error) from None
    return unload


def _refused(target: ServerTarget, name: str, ours: Exception, error: Exception) -> Exception:
    from tritonclient.utils import InferenceServerException

    if not isinstance(error, InferenceServerException):
        return ours
    return ServerError(
        f"Triton at {target.address} did not load '{name}': {errors.said(error)}",
        fix="the server must run with --model-control-mode=explicit and have the model in its "
        "repository; without `load: true` the model must be loaded already",
    )
