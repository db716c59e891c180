"""A load of zeros against the null server, for tests of the generator itself."""

from __future__ import annotations

from harness.load.null.ceiling import WAIT_S, _rate
from harness.load.null.server import running
from harness.load.wire.generator import run
from harness.load.wire.plan import Plan


def ceiling(
    protocol: str, request_bytes: int, response_bytes: int, concurrency: int, seconds: float,
    processes: int = 1,
) -> float:  # fmt: skip
    """Requests a second that the wire client reaches with requests and answers of zeros.

    Raises WorkerDiedError, ServerDiedError.
    """
    with running(protocol, response_bytes) as address:
        request = http_post(address, request_bytes) if protocol == "http" else bytes(request_bytes)
        plan = Plan(protocol, address, (request,), concurrency, WAIT_S, sample_every=0)
        return _rate(run(plan, processes), seconds)


def http_post(address: str, body_bytes: int) -> bytes:
    """A POST of that many bytes, with the headers of an inference request."""
    lines = (
        "POST /v2/models/null/infer HTTP/1.1", f"Host: {address}", "User-Agent: harness-wire",
        f"Content-Length: {body_bytes}", "Inference-Header-Content-Length: 0", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + bytes(body_bytes)
