"""Triton over HTTP with the official client, as an application would use it.

Inputs are turned into bytes once, in `prepare`; a call builds the request from them, sends it on
the caller's own keep-alive connection, waits and parses the answer.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.errors import BackendError, HarnessError
from harness.system.tls import ssl_context
from harness.triton.client import deadline, errors
from harness.triton.client.common import ServerTarget, TritonReply
from harness.triton.client.connection import Client, Connection

if TYPE_CHECKING:
    import ssl

    import gevent.socket
    from tritonclient.http import InferResult


class HttpConnection(Connection):
    """One keep-alive connection; the client is told its time limit when it is made."""

    protocol = "http"

    def connect(self) -> Client:
        """The official client for the server, with its TLS."""
        from tritonclient.http import InferenceServerClient

        target, secure = self.target, {}
        if (tls := target.access.tls) is not None:
            import gevent.ssl

            def context(cafile: str | None = None) -> ssl.SSLContext:
                return ssl_context(tls, gevent.ssl)

            secure = {"ssl": True, "ssl_context_factory": context, "insecure": not tls.verify}
        client: Client = InferenceServerClient(
            target.address, concurrency=1, connection_timeout=target.timeout,
            network_timeout=target.timeout, **secure,
        )  # fmt: skip
        self._exchange = deadline.Exchange()
        client._client_stub._connection_pool.after_connect = self._connected  # meant to be set
        deadline.WATCH.add(self._exchange)
        return client

    def _connected(self, sock: gevent.socket.socket) -> None:
        if self._exchange.ended:  # the client tries once more where nothing had come
            raise TimeoutError
        self._exchange.socket = sock

    @contextlib.contextmanager
    def patience(self) -> Iterator[None]:
        """The client's own limit is one for each read: an answer may come byte by byte."""
        import gevent

        self._exchange.begin(self.target.timeout)
        try:
            with gevent.Timeout(self.target.timeout, TimeoutError):
                yield
        finally:
            self._exchange.until = math.inf

    def infer(self, inputs: object, outputs: object = None) -> TritonReply:
        """As every connection's, with a limit on the whole answer."""
        self._exchange.begin(self.target.timeout)
        try:
            return super().infer(inputs, outputs)
        finally:
            self._exchange.until = math.inf

    def request_errors(self) -> errors.ErrorTable:
        """Whatever is no answer is a broken connection."""
        return self._table(errors.answered, errors.late, ((Exception, errors.broken),))

    def setup_errors(self) -> errors.ErrorTable:
        """A refusal, or a server that does not speak HTTP."""
        from geventhttpclient.response import HTTPParseError

        rest = (((OSError, HTTPParseError), errors.unreachable), (Exception, errors.garbled))
        return self._table(errors.setup_failed, errors.silent, rest)

    def _table(
        self, refused: errors.Become, late: errors.Become, rest: errors.ErrorTable
    ) -> errors.ErrorTable:
        """What becomes of a refusal, of a delay and of the rest, unless the watch has ended the
        exchange: then the rest is what that looks like.
        """
        from tritonclient.utils import InferenceServerException

        def row(become: errors.Become) -> errors.Become:
            def ours(target: ServerTarget, error: Exception) -> HarnessError:
                if (why := self._exchange.ended) in ("", deadline.LATE):
                    return (late if why else become)(target, error)
                return BackendError(f"Triton at {target.address} answers {why}")

            return ours

        table = ((InferenceServerException, refused), (TimeoutError, late), *rest)
        return [(foreign, row(become)) for foreign, become in table]

    def close(self) -> None:
        """End the connection."""
        deadline.WATCH.remove(self._exchange)
        super().close()

    def names(self, reply: InferResult) -> list[str]:
        """The outputs in an answer."""
        return [output["name"] for output in reply.get_response()["outputs"]]

    def end_thread(self) -> None:
        """Destroy the thread's event loop, else each thread leaves its epoll open."""
        if threading.current_thread() is not threading.main_thread():
            import gevent

            gevent.get_hub().destroy(destroy_loop=True)
