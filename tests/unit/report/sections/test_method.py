"""The method in words: rounds, memory, a lead word a paragraph."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.report.model.context import Context, build_context
from harness.report.model.section import Prose
from harness.report.sections.method import method, section
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Three rounds asked for and measured, nothing failed."""
    path = tmp_path_factory.mktemp("evidence") / "r"
    return read_run(write_run(path, backends=CPU_BACKENDS[:1], failures=False))


def _up_to(data: RunData, rounds: int) -> RunData:
    """The run as it stands after so many rounds."""
    return replace(data, events=tuple(e for e in data.events if getattr(e, "round", 0) < rounds))


def test_the_method_says_how_many_rounds_were_measured(plain: RunData) -> None:
    said = [method(build_context(_up_to(plain, rounds)))[0] for rounds in (3, 2, 1, 0)]
    assert "Rounds. Points were measured in 3 rounds. Each round starts" in said[0]
    assert "Points were measured in 2 rounds; asked for were 3 rounds. Each" in said[1]
    assert "Points were measured in 1 round; asked for were 3 rounds. Each" in said[2]
    assert "Rounds. Asked for were 3 rounds. Each round starts" in said[3]


def test_the_method_names_the_fewest_and_the_most_rounds(cpu: Context) -> None:
    rounds = {r.rounds for r in cpu.rows if r.rounds}
    assert (
        f"in {min(rounds)} to {max(rounds)} rounds; asked for were 3 rounds. Each"
        in (method(cpu)[0])
    )


def test_the_method_says_whose_memory_is_a_points_own(gpu: Context) -> None:
    (said,) = (text for text in method(gpu) if "Before every point" in text)
    assert "gives back what earlier points left in caches" in said
    assert "Memory of triton-grpc-onnxruntime is the server's" in said
    assert "an upper bound" in said


def test_each_paragraph_of_the_method_has_a_lead_word(gpu: Context) -> None:
    (prose,) = section(gpu).blocks
    assert isinstance(prose, Prose)
    spans = [s.spans for s in prose.sentences]
    leads = [lead.text.removesuffix(".") for lead, rest in spans if lead.strong and rest.text]
    assert len(leads) == len(method(gpu))
    assert max(len(lead.split()) for lead in leads) <= 4
    assert {"Clock", "GPU memory", "Memory between points"} <= set(leads)


def test_the_method_says_that_a_search_adds_rounds(variants: Context) -> None:
    said = method(variants)[0]
    assert "in up to" not in said

    def with_search(rounds_max: int) -> str:
        scenario = {**variants.scenario, "search": {"rounds_max": rounds_max}}
        manifest = {**variants.data.manifest, "scenario": scenario}
        return method(build_context(replace(variants.data, manifest=manifest)))[0]

    assert ", and in up to 10 where it might be the best config. Each round" in with_search(10)
    assert "might be the best" not in with_search(1)


def test_the_method_says_that_two_backends_took_turns(plain: RunData) -> None:
    measurement = {**plain.scenario["measurement"], "interleave": "100ms"}
    scenario = {**plain.scenario, "measurement": measurement}
    turned = tuple(
        replace(e, details={**e.details, "turns": 20}) if isinstance(e, MeasurementRow) else e
        for e in plain.events
    )
    for events, said in (
        (turned, "and took turns of 100ms, which"),
        (plain.events, "did not pause in between."),
    ):
        data = replace(plain, events=events, manifest={**plain.manifest, "scenario": scenario})
        assert said in " ".join(method(build_context(data)))


def test_the_method_of_a_run_in_parts_says_which_rounds_were_added_there(plain: RunData) -> None:
    scenario = {**plain.scenario, "measurement": {**plain.scenario["measurement"], "rounds_max": 6}}
    manifest = {**plain.manifest, "scenario": scenario}
    for more, why in (
        ({}, "where their intervals were too wide."), ({"shards": []}, "where something disturbed"),
    ):  # fmt: skip
        data = replace(plain, manifest={**manifest, **more})
        assert f"and in up to 6 {why}" in method(build_context(data))[0]
