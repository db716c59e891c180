"""Triton over HTTP with the official client, as an application would use it.

Inputs are turned into bytes once, in `prepare`; a call builds the request from them, sends it on
the caller's own keep-alive connection, waits and parses the answer.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from harness.system.tls import ssl_context
from harness.triton.client import errors
from harness.triton.client.connection import Client, Connection

if TYPE_CHECKING:
    import ssl

    from tritonclient.http import InferResult

PATIENCE = 3
"""Times the limit of a call that all calls of a block together may take."""


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
        return client

    def patience(self) -> AbstractContextManager[object]:
        """The client's own limit is one for each read: an answer may come byte by byte."""
        import gevent

        limit: AbstractContextManager[object] = gevent.Timeout(
            PATIENCE * self.target.timeout, TimeoutError
        )
        return limit

    def request_errors(self) -> errors.ErrorTable:
        """Whatever is no answer is a broken connection."""
        from tritonclient.utils import InferenceServerException

        return (
            (InferenceServerException, lambda _, e: errors.answered(errors.message_of(e))),
            (TimeoutError, errors.late),
            (Exception, errors.broken),
        )

    def setup_errors(self) -> errors.ErrorTable:
        """A refusal, or a server that does not speak HTTP."""
        from geventhttpclient.response import HTTPParseError
        from tritonclient.utils import InferenceServerException

        return (
            (InferenceServerException, errors.setup_failed),
            (TimeoutError, errors.silent),
            ((OSError, HTTPParseError), errors.unreachable),
            (Exception, errors.garbled),
        )

    def names(self, reply: InferResult) -> list[str]:
        """The outputs in an answer."""
        return [output["name"] for output in reply.get_response()["outputs"]]

    def end_thread(self) -> None:
        """Destroy the thread's event loop, else each thread leaves its epoll open."""
        if threading.current_thread() is not threading.main_thread():
            import gevent

            gevent.get_hub().destroy(destroy_loop=True)
