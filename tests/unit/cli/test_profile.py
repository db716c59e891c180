"""`harness profile` is a subcommand, and its help imports no runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.kineto import Machine
from support.profiled import gpu_profile, gpu_scenario
from support.synthetic_run import write_bare

from harness.cli.main import main
from harness.cli.profile import command
from harness.profile import store
from harness.results.store import RunStore, read_run


def test_the_help_says_that_a_profile_is_no_run() -> None:
    done = CliRunner().invoke(command, ["--help"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "A profile is no run" in " ".join(done.output.split())


def test_a_runs_report_takes_a_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    run, here = write_bare(tmp_path / "run"), tmp_path / "profile"
    manifest = {"schema_version": 3, "scenario": dict(read_run(run).scenario)}
    with RunStore.create(here, {**manifest, "kind": store.KIND}):
        store.save(here, gpu_profile(Machine(launch_us=60.0)))
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run), "--format", "html", "--profile", str(here)])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"{run / 'report.html'}\n")
    assert "Launch-bound: launching and dispatch take" in (run / "report.html").read_text()
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run), "--profile", str(run)])
    assert ended.value.code == 2
    assert "is no directory of `harness profile`" in capsys.readouterr().err


def test_report_says_what_the_directory_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    here = tmp_path / "profile"
    manifest = {"schema_version": 3, "scenario": gpu_scenario().model_dump(mode="json")}
    with RunStore.create(here, {**manifest, "kind": store.KIND}):
        store.save(here, gpu_profile(Machine()))
    with pytest.raises(SystemExit) as ended:
        main(["report", str(here)])
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert said.out.splitlines() == [str(here / "report.html")]
    assert "is a profile, not a run: nothing in it was timed undisturbed" in said.err
