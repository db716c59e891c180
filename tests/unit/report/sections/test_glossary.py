"""Page 1 explains the terms that stand on it, and no others."""

from __future__ import annotations

from harness.report.model.context import Context
from harness.report.model.decision import decide
from harness.report.sections.glossary import glossary


def test_only_the_terms_of_this_run(cpu: Context, gpu: Context) -> None:
    on_cpu, on_gpu = (glossary(c, decide(c)).text for c in (cpu, gpu))
    for term in ("point:", "infer/s:", "p95: 95 of 100", "caller:", "served:", "eager PyTorch:"):
        assert term in on_cpu
    assert "ask for: the peak that was seen, 10% on top" in on_gpu
    assert "ask for" not in on_cpu
