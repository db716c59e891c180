"""How fast the generator itself is: the load against a server that does nothing."""

from __future__ import annotations

import time

from harness.load.samples import OK
from harness.load.wire.generator import Plan, run
from harness.load.wire.nullserver import running

WARM_S = 0.3


def ceiling(
    protocol: str, request_bytes: int, response_bytes: int, concurrency: int, seconds: float,
    processes: int = 1,
) -> float:  # fmt: skip
    """Requests a second that the generator reaches against a null server of the same payload.

    The null server is written in Python too and shares the machine, so this is a lower bound of
    what the generator can do. Raises WorkerDiedError, ServerDiedError.
    """
    with running(protocol, response_bytes) as address:
        request = http_post(address, request_bytes) if protocol == "http" else bytes(request_bytes)
        plan = Plan(protocol, address, (request,), concurrency, 10.0, sample_every=0)
        generator = run(plan, processes)
        generator.start()
        time.sleep(WARM_S + seconds)
        samples = generator.stop(10.0)
    begin = samples.done[0] + int(WARM_S * 1e9)
    counted = (samples.status == OK) & (samples.done >= begin)
    return float(counted.sum() / (samples.done[-1] - begin) * 1e9)


def http_post(address: str, body_bytes: int) -> bytes:
    """A POST of that many bytes, with the headers of an inference request."""
    lines = (
        "POST /v2/models/null/infer HTTP/1.1", f"Host: {address}", "User-Agent: harness-wire",
        f"Content-Length: {body_bytes}", "Inference-Header-Content-Length: 0", "", "",
    )  # fmt: skip
    return "\r\n".join(lines).encode() + bytes(body_bytes)
