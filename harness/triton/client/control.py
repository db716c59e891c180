"""Loading a model on a server that somebody else runs, where it allows that."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from harness.errors import ModelRefusedError, ServerError
from harness.scenario.spec.server import access_of
from harness.triton.client import errors
from harness.triton.client.backend import connect
from harness.triton.client.common import ServerTarget
from harness.triton.client.connection import Connection
from harness.triton.client.settings import TritonSettings


def load_remote(spec: TritonSettings, name: str, load_timeout: float) -> Callable[[], None]:
    """Load a model that is not ready on `server.url`; what unloads it again, and closes.

    A model that is ready stays as it is, and is not unloaded: others may use it.
    Raises ModelRefusedError with the server's own reason, or after `load_timeout` seconds; another
    ServerError where it can't be asked, SetupError for a variable that is not set.
    """
    assert spec.server.url is not None
    target = ServerTarget(spec.server.url, name, load_timeout, access=access_of(spec.server))
    connection = connect(spec.protocol, target)
    client = connection.client

    def unload() -> None:
        """Failing here changes no number: the measurements are done."""
        with contextlib.suppress(Exception):
            client.unload_model(name, **connection.within)
        with contextlib.suppress(Exception):
            connection.close()

    try:
        with connection.patience():
            if client.is_model_ready(name, **connection.within):
                connection.close()
                return lambda: None
            client.load_model(name, **connection.within)
    except Exception as error:
        refused = _refused(connection, error)
        with contextlib.suppress(Exception):
            connection.close()
        raise refused from None
    return unload


def _refused(connection: Connection, error: Exception) -> Exception:
    """Why the model was not loaded, by what happened."""
    from tritonclient.utils import InferenceServerException

    target = connection.target
    ours = errors.ours(target, connection.setup_errors(), error)
    foreign = isinstance(error, InferenceServerException)
    late = foreign and errors.status_of(error) == "DEADLINE_EXCEEDED"
    if late or isinstance(error, TimeoutError):
        return ModelRefusedError(
            f"Triton at {target.address} did not load '{target.name}' in {target.timeout:g} s, "
            "and may go on with it",
            fix=f"give it longer: measurement: {{load_timeout: {2 * target.timeout:g}s}}",
        )
    if not foreign or type(ours) is not ServerError:
        return ours
    index = connection.index()
    if index is not None and target.name not in (names := {e.get("name", "") for e in index}):
        return errors.no_model(f"Triton at {target.address}", target.name, sorted(names))
    return ModelRefusedError(
        f"Triton at {target.address} did not load '{target.name}': {errors.said(error)}",
        fix="the server must run with --model-control-mode=explicit and have the model in its "
        "repository; without `load: true` the model must be loaded already",
    )
