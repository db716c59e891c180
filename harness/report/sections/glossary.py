"""Page 1's words for a newcomer: each term that stands there, explained at its foot."""

from __future__ import annotations

from harness.report.model import decision
from harness.report.model.blocks import percentile_name
from harness.report.model.context import Context
from harness.report.model.decision import Decision
from harness.report.model.section import Text


def glossary(context: Context, found: Decision) -> Text:
    """A paragraph in small print; only what page 1 of this run speaks of."""
    kinds = {context.spec(r.backend).get("kind") for r in context.rows}
    percentile, share = percentile_name(found.percentile), 100 * (decision.MARGIN)
    said = {
        "point: one configuration (a backend with its settings) at a batch size under a load": True,
        "round: every point measured once, in fresh processes": True,
        "infer/s: inputs answered a second, all callers together": True,
        "batch: inputs in one request": True,
        "caller: sends its next request when it has the answer to its last; concurrency: how many "
        "callers": not context.open_loop,
        f"{percentile}: {percentile[1:]} of 100 requests took no longer": percentile[:1] == "p",
        "(a–b): the range that holds the true value with 95% confidence": True,
        f"ask for: the peak that was seen, {share:.0f}% on top, up to the next "
        f"{decision.STEP_MIB} MiB": context.has_gpu,
        "in process: the program calls the model itself; served: it asks a server": (
            "triton" in kinds
        ),
        "eager PyTorch: PyTorch as it comes, uncompiled": "torch" in kinds,
        "× best: over the recommended throughput; ?: no difference shown": len(found.backends) > 1,
        "wrong outputs: not the same as the reference's, within the tolerance": "torch" in kinds,
    }
    return Text(f"Words. {'; '.join(text for text, there in said.items() if there)}.", "note")
