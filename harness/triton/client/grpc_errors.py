"""Whether a failed gRPC call was answered, or did not get through.

gRPC's library reports a broken connection with codes that servers answer with, too: Triton says
UNAVAILABLE when a queue is full. Nothing but the message tells them apart.
"""

from __future__ import annotations

import re

_TRITON = re.compile(r"^(in ensemble '.*', )?\[request id: |^Request for unknown model")
_TRANSPORT = re.compile(
    r"connect|socket|stream removed|stream_error|transport|endpoint|channel|goaway|rst_stream"
    r"|keepalive|too_many_pings|recvmsg|sendmsg|broken pipe|end of tcp|handshak|ssl_|resolution"
    r"|resolve|unreachable|no route to host|address list|(ping|settings) timeout",
    re.IGNORECASE,
)
"""Words of which every message of gRPC's core about a connection has one."""


def of_transport(message: str | None) -> bool:
    """Whether an UNAVAILABLE, CANCELLED or UNKNOWN with this message comes from the client's own
    library, which could not talk to the server. A status without a message may.
    """
    if not message:
        return True
    return _TRITON.match(message) is None and _TRANSPORT.search(message) is not None
