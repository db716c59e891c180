"""The command on the command line: exit codes and what it prints, of real directories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.kineto import Machine
from support.profiled import gpu_profile, gpu_scenario
from support.synthetic_run import write_bare

from harness.cli.main import main
from harness.profile import store
from harness.profile.command import command, rebuild
from harness.results.store import RunStore, read_run


def test_json_has_everything(profiled: Path, tmp_path: Path) -> None:
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    result = CliRunner().invoke(command, [str(here), "--json"], standalone_mode=False)
    assert result.return_value == 0
    found = json.loads(result.stdout)
    assert (found["model"], found["directory"]) == ("m", str(here))
    assert Path(found["report"]).is_file()
    assert [b["name"] for b in found["backends"]] == ["torch-cpu-fp32"]
    assert found["findings"]


def test_a_report_is_written_again_and_says_what_it_is_of(
    profiled: Path, tmp_path: Path
) -> None:  # fmt: skip
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    rebuild(here)
    assert "A profile is no measurement" in (here / "report.html").read_text()


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
