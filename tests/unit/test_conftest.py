import os
import shutil
import subprocess
import sys

import pytest
from support.paths import ROOT


@pytest.fixture
def outcome(tmp_path):
    """The outcome of a test with one marker on a machine with no browser, Triton or GPU."""

    def run(marker, ci):
        tests = tmp_path / "tests"
        tests.mkdir()
        shutil.copy(ROOT / "tests" / "conftest.py", tests)
        (tests / "test_it.py").write_text(
            f"import pytest\n@pytest.mark.{marker}\ndef test_it(): pass\n"
        )
        (tests / "pynvml.py").write_text("raise ImportError('no NVML in this test')\n")
        env = {**os.environ, "PATH": str(tmp_path), "HARNESS_TRITON_DIR": str(tmp_path / "none"),
               "CI": ci, "PYTHONPATH": str(tests)}  # fmt: skip
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests,
                   "-c", ROOT / "pyproject.toml", "--rootdir", tmp_path]  # fmt: skip
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()[-1].split()[:2], done.stdout

    return run


@pytest.mark.parametrize("marker", ["gpu", "browser", "triton"])
def test_what_a_machine_lacks_is_skipped_with_its_reason(outcome, marker):
    words, output = outcome(marker, "")
    assert words == ["1", "skipped"], output
    reason = {"gpu": "no NVML in this test", "browser": "no Chromium", "triton": "no embedded"}
    assert reason[marker] in output


@pytest.mark.parametrize(
    ("marker", "result"), [("gpu", "skipped"), ("browser", "error"), ("triton", "error")]
)
def test_in_ci_only_a_gpu_may_be_missing(outcome, marker, result):
    words, output = outcome(marker, "true")
    assert words == ["1", result], output
