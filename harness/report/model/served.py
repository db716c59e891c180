"""What Triton served: a config.pbtxt in words, and how it differs from the default's."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from harness.report.model.labels import counted
from harness.report.model.manifest_facts import Json
from harness.report.model.numbers import NOT_AVAILABLE

NONE = "—"
"""Where there is no server."""


@dataclass(frozen=True, slots=True)
class ServedFacts:
    """A model configuration in Model Analyzer's terms, as texts."""

    max_batch_size: str = NONE
    dynamic_batching: str = NONE
    """`Enabled` or `Disabled`."""
    instances: str = NONE
    kind: str = "CPU"
    platform: str = ""

    def sentence(self) -> str:
        """`2 GPU instances with a max batch size of 8 on platform tensorrt_plan, …`."""
        count = self.instances
        what = counted(int(count), f"{self.kind} instance") if count.isdigit() else count
        batching = f"dynamic batching {self.dynamic_batching.lower()}"
        on = f" on platform {self.platform}" if self.platform else ""
        return f"{what} with a max batch size of {self.max_batch_size}{on}, {batching}"


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a difference."""

    sign: Literal["+", "-", " ", "@"]
    text: str


def served(spec: Json, text: str, largest_batch: int | None) -> ServedFacts:
    """From the configuration that the server had (`text`), else from the scenario's keys."""
    if spec.get("kind") != "triton":
        return ServedFacts()
    if (written := _written(text)) is not None:
        return written
    device = str(spec.get("device") or "cpu")
    most = _single(spec.get("max_batch_size"), largest_batch)
    batching = spec.get("dynamic_batching")
    known = not isinstance(batching, (list, tuple))
    return ServedFacts(
        NOT_AVAILABLE if most is None else str(most),
        ("Enabled" if batching or batching == {} else "Disabled") if known else NOT_AVAILABLE,
        str(_single(spec.get("instances"), 1)), "CPU" if device == "cpu" else "GPU",
        str(spec.get("serve") or ""),
    )  # fmt: skip


def _single(value: object, default: object) -> object:
    """A key's value; `n/a` for a list, which does not say what one of its configs had."""
    if value is None:
        return default
    return NOT_AVAILABLE if isinstance(value, (list, tuple)) else value


@cache
def _written(text: str) -> ServedFacts | None:
    """From a config.pbtxt; None without one, or where tritonclient is missing or knows it not."""
    if not text:
        return None
    try:
        from harness.triton.metadata import proto

        config = proto().from_text(text, proto().ModelConfig())
    except Exception:  # a report of another version's run, or on a machine without tritonclient
        return None
    groups = list(config.instance_group)
    kinds = {type(g).Kind.Name(g.kind) for g in groups}
    return ServedFacts(
        str(config.max_batch_size),
        "Enabled" if config.HasField("dynamic_batching") else "Disabled",
        str(sum((g.count or 1) * max(1, len(g.gpus)) for g in groups) or 1),
        "GPU" if "KIND_GPU" in kinds else "CPU",
        config.platform or config.backend,
    )  # fmt: skip


def difference(default: str, text: str) -> tuple[DiffLine, ...]:
    """The changed lines with one line around them; without the model's name, which always
    differs. Empty where nothing else does.
    """
    before, after = ([x for x in t.splitlines() if not x.startswith("name:")]
                     for t in (default, text))  # fmt: skip
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
    signs: dict[str, Literal["+", "-", " ", "@"]] = {"+": "+", "-": "-", " ": " ", "@": "@"}
    return tuple(DiffLine(signs[x[0]], "" if x[0] == "@" else x[1:]) for x in lines)
