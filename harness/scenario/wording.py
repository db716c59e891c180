"""Words for a user: how many of something, what was found, the nearest of a few known ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SYNONYMS = {
    "ort": "onnxruntime", "onnx": "onnxruntime", "pytorch": "torch", "eager": "torch",
    "tritonserver": "triton", "float32": "fp32", "float": "fp32", "float16": "fp16",
    "half": "fp16", "bfloat16": "bf16", "tensorfloat32": "tf32", "rest": "http",
    "cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "latency": "latency_p99_ms",
    "p99": "latency_p99_ms", "p50": "latency_p50_ms", "gpu": "cuda", "ones": "zeros",
    "fp32": "float32", "fp16": "float16", "yes": "true", "on": "true", "no": "false",
    "off": "false", "path": "onnx", "dtypes": "dtype", "type": "kind", "qps": "throughput",
    "datatype": "dtype", "callers": "concurrency", "clients": "concurrency",
    "repeats": "rounds", "repetitions": "rounds", "batch": "batch_sizes",
    "batches": "batch_sizes", "half_precision": "fp16",
}  # fmt: skip
"""Words from neighbouring tools; used where the second one is allowed and nothing is nearer."""


def nearest(word: str, allowed: Iterable[str]) -> str | None:
    """The allowed word that `word` most likely meant, or None when none is near."""
    options = {_plain(option): option for option in allowed}
    plain = _plain(word)
    if plain in options:
        return options[plain]
    if near := difflib.get_close_matches(plain, options, n=1, cutoff=0.7):
        return options[near[0]]
    if (synonym := _SYNONYMS.get(word.lower())) in options.values():
        return synonym
    if near := difflib.get_close_matches(plain, options, n=1, cutoff=0.6):
        return options[near[0]]
    started = [option for key, option in options.items() if plain and key.startswith(plain)]
    return started[0] if len(started) == 1 and len(plain) >= 3 else None


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 point`, `24 points`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def signed(value: float, spec: str) -> str:
    """`+3.1`, `−0.4` and, of what rounds to nothing, `0.0`: a zero has no sign."""
    text = f"{value:+{spec}}"
    return (text if text.strip("+-0.,%") else text[1:]).replace("-", "−")


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_").replace(" ", "_")


def shorten(value: object, limit: int = 40) -> str:
    """The value as text, cut to `limit` characters, on one line."""
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe(value: object) -> str:
    """What was found, as a reader of YAML sees it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"the text '{shorten(value)}'" if isinstance(value, str) else shorten(value)
