"""What goes wrong between a client and Triton, in the harness's exceptions: one table a protocol.

gRPC's library reports a broken connection with codes that servers answer with, too: Triton says
UNAVAILABLE when a queue is full. Nothing but the message tells them apart (`of_transport`).
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import (  # isort: skip
    AccessError, DeadlineError, HarnessError, ModelRefusedError, ServerDiedError, ServerError,
    TlsError, UnknownModelError, UnreachableError, did_you_mean, translate,
)  # fmt: skip
from harness.scenario.wording import nearest
from harness.system.credentials import cut
from harness.system.network import split_address
from harness.system.tls import speaks_tls
from harness.triton.client.common import CONNECT_S, ServerTarget

LONGEST = 400
"""Characters of a server's answer that are passed on: a proxy may send a whole page."""
DYING_S = 0.2
"""A killed server's port may outlive its connections by the moment the kernel needs."""
_STUB_DIED = re.compile(r"^Stub process '.*' is not healthy")
_TRITON = re.compile(r"^(in ensemble '.*', )?\[request id: |^Request for unknown model")
_TRANSPORT = re.compile(
    r"connect|socket|stream removed|stream_error|transport|endpoint|channel|goaway|rst_stream"
    r"|keepalive|too_many_pings|recvmsg|sendmsg|broken pipe|end of tcp|handshak|ssl_|resolution"
    r"|resolv|unreachable|no route to host|address list|(ping|settings) timeout",
    re.IGNORECASE,
)
"""Words of which every message of gRPC's core about a connection has one."""
_PORTS = "check that it runs, and that url is host:port of this protocol (HTTP 8000, gRPC 8001)"
_CLIENTS = (
    "where it asks its clients for a certificate, give tls: {cert: client.pem, key: client.key}"
)
_CONNECTION: Sequence[tuple[str, type[ServerError], str, str]] = (
    (r"hostname (mismatch|verification)|doesn't match|is not valid for", TlsError,
     "shows a certificate for another name",
     "write url with a name that the certificate has, or server: {tls: {verify: false}}"),
    (r"certificate.verify.failed", TlsError, "shows a certificate that is not trusted here",
     "name the authority that signed it: server: {tls: {ca: ca.pem}}"),
    (r"ssl|tls|handshake", TlsError, "does not encrypt as `tls` asks for",
     f"leave `tls` out where the server has none; {_CLIENTS}"),
    (r"connection refused", UnreachableError, "can't be reached, nobody listens there", _PORTS),
    (r"name or service|resolv|resolution|name resolution|address lookup", UnreachableError,
     "can't be reached, its host's name is not known here", "check the host's name in url"),
)  # fmt: skip
"""What the words of a connection's failure mean: the class, what is said, and the way out."""
_CLOSED = re.compile(r"clos|reset|eof|aborted|disconnect|broken pipe", re.IGNORECASE)
_HTTP_STATUS = re.compile(r"(?:http1\.x server \(HTTP|http2 header with) status:? (\d{3})")
"""What gRPC's core says of an answer that is none of gRPC's: a proxy's, or another service's."""
_NO_TRITON = ("an exception occurred in the client while decoding", "client received an empty resp")
"""What the HTTP client says of an error that is not in Triton's JSON."""
_GATEWAY = frozenset({"502", "503", "504"})
_DENIED = frozenset({"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"})
LISTED = 20
"""Names of a server's models that an error lists."""


Foreign = type[Exception] | tuple[type[Exception], ...]
Become = Callable[[ServerTarget, Exception], HarnessError]
ErrorTable = Sequence[tuple[Foreign, Become]]
"""Foreign exceptions and what each becomes; the first row that fits is taken."""


def ours(target: ServerTarget, table: ErrorTable, error: Exception) -> Exception:
    """What an error becomes; itself where it is ours, or the table does not have it."""
    if not isinstance(error, HarnessError):
        for foreign, become in table:
            if isinstance(error, foreign):
                return become(target, error)
    return error


def refused(address: str) -> bool:
    """Whether nobody listens there any more."""
    deadline = time.monotonic() + DYING_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(split_address(address), CONNECT_S).close()
        except OSError:
            return True
        time.sleep(DYING_S / 4)
    return False


def answered(target: ServerTarget, error: Exception) -> HarnessError:
    """The error for an error that the server answered a request with."""
    message = message_of(error)
    if answer := in_http(target, error):
        return answer
    if _STUB_DIED.search(message):  # Triton does not start another
        return ServerDiedError(f"the Triton server lost a Python process of its model: {message}")
    return type(translate(RuntimeError(message)))(message)


def late(target: ServerTarget, _: Exception | None = None) -> DeadlineError:
    """The error of a request that took too long."""
    return DeadlineError(f"no answer from Triton within {target.timeout:g} s")


def broken(target: ServerTarget, error: Exception) -> HarnessError:
    """The error of a connection that broke: the server died, or only the connection."""
    if refused(target.address):
        return ServerDiedError(f"the Triton server at {target.address} is gone: {_words(error)}")
    return translate(error, "the connection to Triton broke")


def unreachable(target: ServerTarget, error: Exception) -> ServerError:
    """The error of a server that can't be talked to at load, by what happened."""
    words = _words(error)
    for pattern, kind, why, fix in _CONNECTION:
        if re.search(pattern, words, re.IGNORECASE):
            return kind(f"Triton at {target.address} {why}: {words}", fix=fix)
    if _CLOSED.search(words) and speaks_tls(target.address):
        why, fix = "speaks TLS, and was asked without", "server: {tls: {ca: ca.pem}}"
        if target.access.tls:
            why, fix = "ended the encrypted connection", _CLIENTS
        return TlsError(f"Triton at {target.address} {why}: {words}", fix=fix)
    return UnreachableError(f"Triton at {target.address} can't be reached: {words}", fix=_PORTS)


def garbled(target: ServerTarget, error: Exception) -> ServerError:
    """The error of an answer that no Triton gives."""
    return ServerError(
        f"Triton at {target.address} answers what can't be understood: "
        f"{type(error).__name__}: {cut(_words(error), LONGEST)}",
        fix="check that url is a Triton server, and the port of this protocol",
    )


def silent(target: ServerTarget, _: Exception) -> ServerError:
    """The error of a server that takes too long over anything but a request."""
    return unreachable(target, TimeoutError(f"no whole answer within {target.timeout:g} s"))


def setup_failed(target: ServerTarget, error: Exception) -> ServerError:
    """The error of a server that refuses anything but a request."""
    return in_http(target, error) or ServerError(f"Triton at {target.address}: {said(error)}")


def in_http(target: ServerTarget, error: Exception) -> ServerError | None:
    """The error of an answer by a proxy or another service, by its HTTP status; None for Triton's
    own.
    """
    if refusal := denied(target, error):
        return refusal
    found = _HTTP_STATUS.search(message_of(error))
    status = found[1] if found else status_of(error)
    if not found and not message_of(error).startswith(_NO_TRITON):
        return None
    where = f"{target.address} answers {'gRPC ' if found else ''}with HTTP status {status}"
    if status in _GATEWAY:
        fix = "check that Triton runs behind it"
        return ServerError(f"{where}: the proxy there does not reach Triton", fix=fix)
    if status == "429" or status >= "500":
        return ServerError(where)
    fix = f"{_PORTS}; a proxy has to pass gRPC on, in HTTP/2" if found else _PORTS
    spoken = "no gRPC is spoken there" if found else f"no Triton is there: {said(error)}"
    return UnreachableError(f"{where}: {spoken}", fix=fix)


def denied(target: ServerTarget, error: Exception) -> AccessError | None:
    """The error of an answer that lets nobody in; None for any other."""
    found = _HTTP_STATUS.search(message_of(error))
    if (status := found[1] if found else status_of(error)) not in _DENIED:
        return None
    words = f"HTTP status {status}" if found else said(error)
    return AccessError(
        f"{target.address} does not let the harness in ({status}): {words}",
        fix='give what it asks for: server: {headers: {Authorization: "Bearer ${TOKEN}"}}, with '
        "the token in the environment",
    )


def no_model(where: str, name: str, there: Sequence[str]) -> UnknownModelError:
    """The error for a model that a server or repository does not have; `there` are those it has."""
    names = ", ".join(sorted(there)[:LISTED]) + (", …" if len(there) > LISTED else "")
    return UnknownModelError(
        f"{where} has no model '{name}'{did_you_mean(nearest(name, there))}",
        fix=f"model: {{source: {{triton: NAME}}}} with one that it has: {names}"
        if there else "it has no model at all: load one there, or check url",
    )  # fmt: skip


def not_ready(target: ServerTarget, index: Sequence[Mapping[str, str]] | None) -> ServerError:
    """The error for a model that is not ready, by the server's index; None: it did not tell."""
    where, name = f"Triton at {target.address}", target.name
    which = f"version {target.version} of model" if target.version else "model"
    mine = [entry for entry in index or () if entry.get("name") == name]
    if index is not None and not mine:
        return no_model(where, name, sorted({entry.get("name", "") for entry in index}))
    ready = sorted(e.get("version", "") for e in mine if e.get("state") == "READY")
    if ready:
        why, fix = f"; ready are {', '.join(ready)}", "ask for one of these: version: 1"
    else:
        reasons = {e["reason"] for e in mine if e.get("reason", "unloaded") != "unloaded"}
        why = f": {'; '.join(sorted(reasons))}" if reasons else ", though its repository has it"
        fix = "have it loaded there, or by the harness: server: {load: true}"
    if index is None:
        why, fix = "", "check the name with: curl -X POST http://HOST:PORT/v2/repository/index"
    return ModelRefusedError(f"{where} has no {which} '{name}' ready{why}", fix=fix)


def said(error: Exception) -> str:
    """What the server, or a proxy before it, answered: one line, of a length that can be read."""
    words = message_of(error)
    if words.startswith(_NO_TRITON):
        words = words.partition("\nresponse: ")[2] or "nothing"
    return cut(" ".join(words.split()), LONGEST)


def message_of(error: Any) -> str:
    """The words of an `InferenceServerException`."""
    return str(error.message() or "")


def status_of(error: Any) -> str:
    """The last word of its code: `UNAVAILABLE` of `StatusCode.UNAVAILABLE`."""
    return str(error.status()).rpartition(".")[2]


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def of_transport(message: str | None) -> bool:
    """Whether an UNAVAILABLE, CANCELLED or UNKNOWN with this message comes from the client's own
    library, which could not talk to the server. A status without a message may.
    """
    if not message:
        return True
    return _TRITON.match(message) is None and _TRANSPORT.search(message) is not None
