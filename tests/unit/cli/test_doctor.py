import json

from harness.doctor.check import Check


def test_json_is_complete_and_valid(run_cli):
    done = run_cli("doctor", "--json", cache=True)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert set(answer) == {"ok", "checks", "machine", "packages"}
    assert answer["ok"] is True
    assert {"torch (cpu)", "triton server", "PDF"} <= {c["name"] for c in answer["checks"]}
    assert answer["packages"]["inference-harness"]


def test_the_table_names_what_can_be_measured(run_cli):
    done = run_cli("doctor")
    assert done.returncode == 0
    assert "This machine can measure: torch (cpu), onnxruntime (cpu)" in done.stdout
    assert "✓" in done.stdout


def test_a_machine_without_any_backend_ends_with_3(monkeypatch, capsys):
    from click.testing import CliRunner

    from harness.cli import doctor

    fix = "/usr/bin/python -m pip install 'torch>=2.6' --index-url https://example.org/" + "x" * 60
    nothing = [Check("Backends", "torch", "missing", "not [installed]", fix)]
    monkeypatch.setattr(doctor, "_examine", lambda: (nothing, {}))
    done = CliRunner().invoke(doctor.command, standalone_mode=False)
    assert done.return_value == 3
    assert "Only the fake backend can run here" in done.output
    assert "not [installed]" in done.output  # square brackets are no markup
    assert f"fix: {fix}" in done.output  # in one piece, to be copied
