"""The plan's pages: page 1's form, the charts, and nothing that a hostile name could do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader
from support import planned
from support.planned import CARD, HOSTILE

from harness.plan.front import Written, service_of
from harness.plan.memory_model import Combination, Estimate
from harness.plan.outputs import no_files
from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.proving import Proof, Trial
from harness.plan.report import memory_charts, view, write_report
from harness.report.charts.matplotlib import svg
from harness.report.model.section import Charts, Code, Masthead, Section, TableBlock, Text, Verdict
from harness.report.outputs.html import render_print
from harness.report.outputs.pdf import _book


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned.plan(systems=("hami", "kai", "volcano-vgpu"))


def proven(plan: Plan, *outcomes: str) -> Plan:
    trials = tuple(
        Trial(mib, outcome, f"seen at {mib}", full=True, control="it was refused", how="CUDA MPS")  # type: ignore[arg-type]
        for mib, outcome in zip((1320, 1200, 1100), outcomes, strict=False)
    )
    return replace(plan, proof=Proof("gpu_memory", 1320, True, trials, 26, 1200))


def sections(plan: Plan) -> dict[str, Section]:
    found = view(plan, planned.run(), service_of(plan, Written()))
    return {section.id: section for section in found.sections}


def lines(section: Section) -> dict[str, list[str]]:
    (verdict,) = (block for block in section.blocks if isinstance(block, Verdict))
    return {title: list(map(str, said)) for title, said in verdict.entries}


def test_page_1_has_the_answer_the_proof_and_what_to_ask_for(plan: Plan) -> None:
    first = sections(plan)["summary"]
    said = lines(first)
    assert isinstance(first.blocks[0], Masthead)
    assert list(said) == ["TAKE", "PROOF", "ASK FOR", "WHY", "BEWARE"]
    assert said["TAKE"][0].startswith("7 replicas of served/b1/c1, each asking for 3,300 MiB")
    assert said["PROOF"][0].startswith("Nothing of this was tried under a cap")
    assert said["ASK FOR"][0] == (
        "HAMi 2.10: nvidia.com/gpumem = 3300, 3,300 MiB; 4 a card, memory binds. Enforced by "
        "HAMi-core for the sum of the container's processes, contexts included."
    )


@pytest.mark.parametrize(("outcome", "bad"), [("holds", False), ("fails", True)])
def test_a_proof_stands_on_page_1_and_with_all_its_trials(
    plan: Plan, outcome: str, bad: bool
) -> None:
    found = sections(proven(plan, outcome, "fails"))
    word = "Not verified" if bad else "Verified under CUDA MPS: 1,320 MiB of GPU memory a process"
    assert lines(found["summary"])["PROOF"][0].startswith(word)
    (verdict,) = (b for b in found["summary"].blocks if isinstance(b, Verdict))
    assert dict(verdict.entries)["PROOF"][0].spans[0].bad is bad
    (table,) = (b.table for b in found["proof"].blocks if isinstance(b, TableBlock))
    assert [row[2].text for row in table.rows] == [outcome, "fails"]
    assert table.notes == ("Before each, a control in the same environment: it was refused.",)


def test_many_systems_are_told_apart_by_what_holds_them() -> None:
    said = lines(sections(planned.plan())["summary"])["ASK FOR"]
    assert len(said) == 2
    assert said[0].startswith("Enforced by arena, ack, hami")
    assert said[1].startswith("Advisory, enforced by nothing, in arena-128mib")


def test_memory_is_drawn_with_the_request_and_the_card(plan: Plan) -> None:
    estimate = Estimate(Combination(16, 8), 5000.0, 4000.0, 6000.0, extrapolated=True)
    (chart,) = memory_charts(replace(plan, at=(estimate,)), planned.run())
    assert [series.name for series in chart.series] == [
        "1 caller", "8 callers", "estimate, with its range", f"the card, {CARD:,} MiB",
    ]  # fmt: skip
    assert chart.ticks == ("1", "16")
    assert [series.y[0] for series in chart.series] == [3000.0, 3000.0, 5000.0, float(CARD)]
    assert chart.series[2].y_range == ((4000.0, 6000.0),)
    assert [bound.label for bound in chart.bounds] == ["request 3,300 MiB"]


def test_the_card_is_in_sight_of_what_is_far_below_it(plan: Plan) -> None:
    need = plan.sized.need
    assert need is not None
    huge = replace(plan, sized=replace(plan.sized, need=replace(need, card_mib=143_771)))
    assert [c.log_y for p in (plan, huge) for c in memory_charts(p, planned.run())] == [False, True]


def test_without_gpu_memory_there_is_no_card_and_one_reason_for_all() -> None:
    data = planned.run(gpu_memory_mib=None)
    plan = make_plan(data, planned.demand(), Asked())
    found = {s.id: s for s in view(plan, data, service_of(plan, Written())).sections}
    (chart,) = found["summary"].charts()
    assert (chart.y_title, chart.bounds) == ("Host memory (MiB)", ())
    assert "files" not in found
    assert lines(found["summary"])["ASK FOR"] == [no_files(plan)]
    said, *refusal = (b for b in found["systems"].blocks if isinstance(b, Text))
    assert said.text == no_files(plan)
    assert not [b for b in found["systems"].blocks
                if isinstance(b, TableBlock) and b.title == "Request by system"]  # fmt: skip
    assert len(refusal) == 1
    assert "ecs and gke: The run has no GPU memory to ask for." in refusal[0].text


def test_many_refusals_leave_the_print_its_size() -> None:
    """A line that can't be broken would shrink all of its pages."""
    data = planned.run(gpu_memory_mib=None)
    plan = make_plan(data, planned.demand(), Asked())
    found = view(plan, data, service_of(plan, Written()))
    drawings = {chart.id: svg(chart) for chart in found.printed_charts()}
    book = _book(render_print(found, drawings, {}))
    assert book.get_document_width() <= book.get_viewport_width() + 1


def test_why_there_are_no_files_is_read_in_both_pages(tmp_path: Path) -> None:
    data = planned.run(gpu_memory_mib=None)
    plan = make_plan(data, planned.demand(), Asked())
    html, pdf = tmp_path / "plan.html", tmp_path / "plan.pdf"
    write_report(plan, data, service_of(plan, Written()), html, pdf)
    said = no_files(plan)
    assert said is not None
    pages = "\n".join(page.extract_text() for page in PdfReader(pdf).pages)
    for text in (html.read_text("utf-8"), pages):
        assert said in " ".join(text.split())


def test_the_files_are_those_that_are_written(plan: Plan) -> None:
    files = [b for b in sections(plan)["files"].blocks if isinstance(b, Code)]
    assert {file.title for file in files} == {
        f"{system}/{name}.yaml"
        for system in ("hami", "kai", "volcano-vgpu") for name in ("kubernetes", "keda")
    }  # fmt: skip
    verified = [b for b in sections(proven(plan, "holds"))["files"].blocks if isinstance(b, Code)]
    assert verified[0].text.startswith("# Made by harness plan; 1,320 MiB a process verified")


def test_both_pages_are_written_and_a_hostile_name_is_text_in_them(tmp_path) -> None:
    name = f"{HOSTILE}<script>alert(1)</script>"
    data = planned.run(backend=name)
    plan = make_plan(data, planned.demand(), Asked(systems=("hami",)))
    html, pdf = tmp_path / "plan.html", tmp_path / "plan.pdf"
    write_report(plan, data, service_of(plan, Written()), html, pdf)
    text = html.read_text("utf-8")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert pdf.read_bytes().startswith(b"%PDF")
    assert not [b for s in view(plan, data, service_of(plan, Written())).sections
                for b in s.blocks if isinstance(b, Charts) and not b.charts]  # fmt: skip
