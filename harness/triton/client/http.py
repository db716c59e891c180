"""Triton over HTTP with the official client, as an application would use it.

Inputs are turned into bytes once, in `prepare`; a call builds the request from them, sends it on
the caller's own keep-alive connection, waits and parses the answer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Self

from harness.backends.base import BackendContext, LoadCost
from harness.errors import ServerError
from harness.models.tensors import Signature, Tensors
from harness.system.network import PLAIN, Access
from harness.system.packages import require
from harness.system.tls import ssl_context
from harness.triton.client import common
from harness.triton.client.settings import TritonSettings
from harness.triton.client.shared_memory import Regions, SharedCaller
from harness.triton.counters.statistics import counters
from harness.triton.metadata import Description, composing, proto, read, steps


class TritonHttpBackend:
    """One model on one server; `load` connects and checks."""

    def __init__(self, spec: TritonSettings, context: BackendContext) -> None:
        require("tritonclient.http", "triton")
        self.spec, self.context = spec, context
        self.target = common.target(spec, context)
        self._found: Description | None = None
        self._control: Any = None
        self.regions: Regions | None = None
        """Shared memory, when the scenario asks for it and the model is loaded."""
        self._composing: tuple[str, ...] = ()

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
        self._control = connect(self.target)
        with _setting_up(self.target):
            self._found, cost = common.load_cost(
                self.spec, self.context, lambda: _fetch(self._control, self.target.name),
                self._control.get_server_metadata,
            )  # fmt: skip
            self._composing = composing(self._found.steps, self.spec.composing, self._steps)
        if self.spec.io != "host":
            self.regions = Regions(self.spec, self.target.address, self._plain)
        return cost

    @property
    def control(self) -> Any:
        """The client for everything but requests; of the thread that called `load`."""
        return self._control

    def _steps(self, name: str) -> tuple[str, ...]:
        message = proto()
        answer = self._control.get_model_config(name)
        return steps(message.from_dict(answer, message.ModelConfig()))

    def prepare(self, inputs: Tensors) -> Any:
        """Input objects that hold the tensors' bytes. Raises ServerError for a batch too large."""
        from tritonclient.http import InferInput

        if self.regions is not None:
            with _setting_up(self.target):
                ready = common.encoded(self.found, inputs)
                return self.regions.prepare(self._control, {n: a for n, (a, _) in ready.items()})
        return common.request_inputs(self.found, inputs, InferInput)

    def _plain(self, inputs: Tensors) -> Tensors:
        """One call without shared memory; outputs as the client gives them."""
        from tritonclient.http import InferInput

        with HttpCaller(self.target) as caller:
            return caller.raw(caller.infer(common.request_inputs(self.found, inputs, InferInput)))

    def caller(self) -> HttpCaller | SharedCaller:
        """A caller with its own connection, to be used in the thread that enters it."""
        caller = HttpCaller(self.target)
        if self.regions is None:
            return caller
        return SharedCaller(caller, self.regions, self.target)

    def statistics(self) -> dict[str, float]:
        """Triton's counters; to be read in the thread that called `load`."""
        with _setting_up(self.target):
            name = self.target.name
            wanted = "" if self._composing else name  # one answer for all models of the server
            found = self._control.get_inference_statistics(wanted)
            return counters(found, name, self._composing)

    def release(self) -> None:
        """Give back shared memory; what the server keeps is its own, and reported as such."""
        if self.regions is not None:
            self.regions.release(self._control)

    def memory(self) -> dict[str, int]:
        """None: the memory is the server's."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None:
            self.release()
            self._control.close()


class HttpCaller:
    """One connection. The client's event loop belongs to a thread: enter it where it is used."""

    def __init__(self, target: common.Target) -> None:
        self._target = target
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The official client, while the caller is open."""
        return self._client

    def infer(self, request: Any, outputs: Any = None) -> Any:
        """Send the request and parse the answer; `outputs` say where shared memory takes them.

        Raises BackendError, OutOfMemoryError, DeadlineError, ServerDiedError.
        """
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.infer(self._target.name, request, outputs=outputs)
        except InferenceServerException as error:
            raise common.answered(error.message()) from None
        except TimeoutError:
            raise common.late(self._target) from None
        except Exception as error:
            raise common.broken(self._target, error) from None

    def raw(self, reply: Any) -> Tensors:
        """All outputs as the client gives them."""
        return {o["name"]: reply.as_numpy(o["name"]) for o in reply.get_response()["outputs"]}

    def outputs(self, reply: Any) -> Tensors:
        """All outputs as arrays."""
        found = reply.get_response()["outputs"]
        return common.outputs(self._target, (o["name"] for o in found), reply)

    def __enter__(self) -> Self:
        self._client = connect(self._target)
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


def fetch(url: str, name: str, access: Access = PLAIN) -> Description:
    """What the server at `url` says about a model. Raises ServerError."""
    require("tritonclient.http", "triton")
    target = common.Target(url, name, common.CONNECT_S * 5, access=access)
    client = connect(target)
    try:
        with _setting_up(target):
            return _fetch(client, name)
    finally:
        client.close()


def connect(target: common.Target) -> Any:
    """The official client for a server, with its TLS and its headers."""
    from tritonclient.http import InferenceServerClient

    secure: dict[str, Any] = {}
    if (tls := target.access.tls) is not None:
        import gevent.ssl

        def context(cafile: str | None = None) -> Any:
            return ssl_context(tls, gevent.ssl)

        secure = {"ssl": True, "ssl_context_factory": context, "insecure": not tls.verify}
    client = InferenceServerClient(
        target.address, concurrency=1, connection_timeout=target.timeout,
        network_timeout=target.timeout, **secure,
    )  # fmt: skip
    if target.access.headers:
        client.register_plugin(lambda request: request.headers.update(target.access.headers))
    return client


def _fetch(client: Any, name: str) -> Description:
    if not client.is_model_ready(name):
        client.get_server_metadata()  # a proxy that lets nobody in says so here
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
        raise ServerError(f"Triton at {target.address}: {common.said(error)}") from None
    except (OSError, HTTPParseError) as error:
        raise common.unreachable(target, error) from None
