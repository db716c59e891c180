"""What a Triton log says went wrong."""

from __future__ import annotations

import re

_LINE = re.compile(r"^(?P<level>[IWEF])\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] (?P<text>.*)$")
_ISO = re.compile(r"^\S+Z (?P<level>[IWEF]) +\d+ [\w.]+:\d+\] (?P<text>.*)$")
_IN_USE = re.compile(r"failed to start (\w+) service: .*Socket '[^']*:(\d+)' already in use")
_ALLOCATED = re.compile(
    r"(?:Bind for|bind host port for|listen tcp4?) \S*?:(\d+)\b.*already (?:allocated|in use)"
)
"""Said by container engines."""
_STATE = re.compile(r"^load failed for model '[^']*': version \S+ is at UNAVAILABLE state: ")
_STATUS = re.compile(r"^(Internal|Invalid argument|Not found|Unavailable|Unsupported): ")
_HARMLESS = ("CudaDriverHelper has not been initialized",)
"""Said at every start without a GPU."""
_POLL = "failed to poll from model repository"


def port_in_use(log: str) -> int | None:
    """The port that the server could not listen on, because somebody else does."""
    found = _IN_USE.search(log)
    if found:
        return int(found[2])
    taken = _ALLOCATED.search(log)
    return int(taken[1]) if taken else None


def last_error(log: str) -> str:
    """The last error in the log in one line, else its last line; empty for an empty log."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in reversed(lines):
        found = _LINE.match(line) or _ISO.match(line)
        if found and found["level"] in "EF" and not any(h in line for h in _HARMLESS):
            return sentence(found["text"])
        if "error while loading shared libraries" in line or "unrecognized option" in line:
            return line
        if line.startswith("docker: ") or line.startswith("Error response from daemon"):
            return line
    return lines[-1] if lines else ""


def load_failure(error: str, log: str) -> str:
    """Why a model did not load, from the load request's error and the log written meanwhile.

    The request says only that the repository could not be polled when config.pbtxt is missing or
    wrong; then the log knows more.
    """
    if _POLL in error:
        return last_error(log) or error
    return sentence(error)


_NO_GPU = re.compile(
    r"instance group \S+ of model (\S+) specifies invalid or unsupported gpu id (\d+)\..* are:(.*)"
)


def sentence(text: str) -> str:
    """One line of a server message: no quotes, no `load failed …` prefix, no traceback."""
    text = text.strip().strip('"').replace("\\n", "\n")
    text = _STATE.sub("", text)
    text = _STATUS.sub("", text)
    text = text.split("\n\nAt:", 1)[0]
    text = " ".join(text.split()).rstrip(" ;")
    if found := _NO_GPU.fullmatch(text):
        seen = found[3].strip() or "none"
        return f"its instances are for GPU {found[2]}, and the server sees these GPUs: {seen}"
    return text
