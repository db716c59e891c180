import json
from dataclasses import replace

import pytest

from harness.triton.client.settings import server_check
from harness.triton.server import install


@pytest.mark.triton
def test_json_says_all_about_this_machine(run_cli):
    done = run_cli("doctor", "--json", cache=True)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert set(answer) == {"schema", "ok", "checks", "machine", "packages"}
    assert answer["schema"] == "harness-doctor/1"
    assert answer["ok"] is True
    assert answer["packages"]["inference-harness"]
    checks = {check["name"]: check for check in answer["checks"]}
    assert all(checks[n]["runs"] for n in ("torch (cpu)", "onnxruntime (cpu)", "triton server"))
    assert "security fixes" in checks["triton server"]["detail"]
    assert checks["triton client"]["status"] == checks["PDF"]["status"] == "ok"
    assert all(check["fix"] for check in answer["checks"] if check["status"] == "missing")


def test_a_machine_without_triton_is_told_how_to_get_it(run_cli, tmp_path):
    done = run_cli("doctor", env={"HARNESS_TRITON_DIR": tmp_path / "none"})
    assert done.returncode == 0
    assert f"the embedded Triton is not installed in {tmp_path / 'none'}" in done.stdout
    assert "fix: harness triton install" in done.stdout
    verdict = done.stdout.splitlines()[-1]
    assert verdict.startswith("This machine can measure: torch (cpu), ")
    assert "triton" not in verdict


def test_a_package_that_is_broken_is_one_line_and_no_more(run_cli, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("import os; os.abort()")
    (tmp_path / "plutoprint.py").write_text("raise ImportError('libstdc++ is too old')")
    done = run_cli("doctor", "--json", env={"PYTHONPATH": tmp_path})
    assert done.returncode == 0
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["onnxruntime"]["detail"] == "ended by signal 6"
    assert "libstdc++ is too old" in checks["PDF"]["detail"]
    assert checks["torch (cpu)"]["runs"]


@pytest.mark.triton
def test_a_server_whose_binary_answers_and_does_not_serve_is_a_fault(tmp_path, monkeypatch):
    binary = tmp_path / "tritonserver"
    binary.write_text("#!/bin/sh\necho ' --model-repository'\necho 'no libfoo.so' >&2\nexit 1\n")
    binary.chmod(0o755)
    found = replace(install.find(), binary=binary)
    monkeypatch.setattr(install, "find", lambda: found)
    check = server_check(runs=True)
    assert (check.status, check.runs) == ("missing", False)
    assert "no libfoo.so" in check.detail
    assert check.fix == "harness triton install"


def test_a_cache_on_a_read_only_place_is_a_fault(run_cli):
    done = run_cli("doctor", "--json", env={"XDG_CACHE_HOME": "/proc/self"})
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["cache"]["status"] == "missing"
