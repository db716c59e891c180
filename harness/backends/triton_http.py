"""Triton over HTTP with the official client, as an application would use it.

Inputs are turned into bytes once, in `prepare`; a call builds the request from them, sends it on
the caller's own keep-alive connection, waits and parses the answer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Self

from harness.backends import require
from harness.backends import triton_common as common
from harness.backends.base import BackendContext, LoadCost, Signature, Tensors
from harness.errors import ServerError
from harness.scenario import schema
from harness.triton.metadata import Description, proto, read
from harness.triton.statistics import counters


class TritonHttpBackend:
    """One model on one server; `load` connects and checks."""

    def __init__(self, spec: schema.TritonBackend, context: BackendContext) -> None:
        require("tritonclient.http", "triton")
        self.spec, self.context = spec, context
        self.target = common.target(spec, context)
        self._found: Description | None = None
        self._control: Any = None

    @property
    def signature(self) -> Signature:
        """As the server describes it."""
        return self.found.signature

    @property
    def found(self) -> Description:
        """What the server says about the model; known after `load`."""
        assert self._found is not None, "load() comes first"
        return self._found

    def load(self) -> LoadCost:
        """Connect; check that the model is ready and takes our inputs. Raises ServerError."""
        self._control = _client(self.target)
        with _setting_up(self.target):
            self._found, cost = common.load_cost(
                self.spec, self.context, lambda: _fetch(self._control, self.target.name),
                self._control.get_server_metadata,
            )  # fmt: skip
        return cost

    def prepare(self, inputs: Tensors) -> list[Any]:
        """Input objects that hold the tensors' bytes. Raises ServerError for a batch too large."""
        from tritonclient.http import InferInput

        return common.request_inputs(self.found, inputs, InferInput)

    def caller(self) -> HttpCaller:
        """A caller with its own connection, to be used in the thread that enters it."""
        return HttpCaller(self.target)

    def statistics(self) -> dict[str, float]:
        """Triton's counters; to be read in the thread that called `load`."""
        with _setting_up(self.target):
            name = self.target.name
            return counters(self._control.get_inference_statistics(name), name)

    def release(self) -> None:
        """Nothing: what the server keeps is the server's, and reported as such."""

    def memory(self) -> dict[str, int]:
        """None: the memory is the server's."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None:
            self._control.close()


class HttpCaller:
    """One connection. The client's event loop belongs to a thread: enter it where it is used."""

    def __init__(self, target: common.Target) -> None:
        self._target = target
        self._client: Any = None

    def infer(self, request: Any) -> Any:
        """Send the request and parse the answer.

        Raises BackendError, OutOfMemoryError, DeadlineError, ServerDiedError.
        """
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.infer(self._target.name, request)
        except InferenceServerException as error:
            raise common.answered(error.message()) from None
        except TimeoutError:
            raise common.late(self._target) from None
        except Exception as error:
            raise common.broken(self._target, error) from None

    def outputs(self, reply: Any) -> Tensors:
        """All outputs as arrays."""
        found = reply.get_response()["outputs"]
        return common.outputs(self._target, (o["name"] for o in found), reply)

    def __enter__(self) -> Self:
        self._client = _client(self._target)
        with _setting_up(self._target):
            self._client.is_server_live()  # opens the connection
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if threading.current_thread() is not threading.main_thread():
            import gevent

            gevent.get_hub().destroy(destroy_loop=True)  # else each thread leaves its epoll open


def fetch(url: str, name: str) -> Description:
    """What the server at `url` says about a model. Raises ServerError."""
    require("tritonclient.http", "triton")
    target = common.Target(url, name, common.CONNECT_S * 5)
    client = _client(target)
    try:
        with _setting_up(target):
            return _fetch(client, name)
    finally:
        client.close()


def _client(target: common.Target) -> Any:
    from tritonclient.http import InferenceServerClient

    return InferenceServerClient(
        target.address, concurrency=1, connection_timeout=target.timeout,
        network_timeout=target.timeout,
    )  # fmt: skip


def _fetch(client: Any, name: str) -> Description:
    if not client.is_model_ready(name):
        raise ServerError(f"Triton has no model '{name}' ready")
    message = proto()
    metadata = message.from_dict(client.get_model_metadata(name), message.ModelMetadata())
    config = message.from_dict(client.get_model_config(name), message.ModelConfig())
    return read(metadata, config)


@contextlib.contextmanager
def _setting_up(target: common.Target) -> Iterator[None]:
    """Everything but requests: what goes wrong here is the server's setup."""
    from geventhttpclient.response import HTTPParseError
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise ServerError(f"Triton at {target.address}: {error.message()}") from None
    except (OSError, HTTPParseError) as error:
        raise common.unreachable(target, error) from None
