from click.testing import CliRunner

from harness.doctor import command as doctor
from harness.doctor import examine
from harness.system.check import Check


def test_a_machine_without_any_backend_ends_with_3(monkeypatch):
    fix = "/usr/bin/python -m pip install 'torch>=2.6' --index-url https://example.org/" + "x" * 60
    nothing = [Check("Backends", "torch", "missing", "not [installed]", fix)]
    monkeypatch.setattr(examine, "examine", lambda: examine.Findings(nothing, {}))
    done = CliRunner().invoke(doctor.command, standalone_mode=False)
    assert done.return_value == 3
    assert "Only the fake backend can run here" in done.output
    assert "not [installed]" in done.output  # square brackets are no markup
    assert f"fix: {fix}" in done.output  # in one piece, to be copied


def test_a_backend_that_runs_is_named_and_the_code_is_0(monkeypatch):
    some = [Check("Backends", "torch (cpu)", "ok", "2.0", runs=True),
            Check("Backends", "triton client", "ok", "2.0")]  # fmt: skip
    monkeypatch.setattr(examine, "examine", lambda: examine.Findings(some, {}))
    done = CliRunner().invoke(doctor.command, standalone_mode=False)
    assert done.return_value == 0
    assert done.output.endswith("This machine can measure: torch (cpu).\n")
