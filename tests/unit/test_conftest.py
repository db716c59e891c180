import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
from support.paths import ROOT

MARKERS = ("gpu", "browser", "triton")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The outcome of a test with one marker on a machine with no browser, Triton or GPU: which
    and how many, and its words. One run for all markers.
    """
    done = {}

    def run(marker, ci):
        if ci not in done:
            done[ci] = _outcomes(tmp_path_factory.mktemp("machine"), ci)
        return done[ci][marker]

    return run


def _outcomes(folder, ci):
    tests = folder / "tests"
    tests.mkdir()
    shutil.copy(ROOT / "tests" / "conftest.py", tests)
    (tests / "test_it.py").write_text("import pytest\n" + "\n".join(
        f"@pytest.mark.{marker}\ndef test_{marker}(): pass\n" for marker in MARKERS
    ))  # fmt: skip
    (tests / "pynvml.py").write_text("raise ImportError('no NVML in this test')\n")
    env = {**os.environ, "PATH": str(folder), "HARNESS_TRITON_DIR": str(folder / "none"),
           "CI": ci, "PYTHONPATH": str(tests)}  # fmt: skip
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests,
               "-c", ROOT / "pyproject.toml", "--rootdir", folder,
               "--junitxml", folder / "found.xml"]  # fmt: skip
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    cases = {str(case.get("name")).removeprefix("test_"): case
             for case in ET.parse(folder / "found.xml").iter("testcase")}  # fmt: skip
    assert set(cases) == set(MARKERS), done.stdout
    return {marker: _words(case) for marker, case in cases.items()}


def _words(case):
    found = [element for element in case if element.tag in ("skipped", "error", "failure")]
    words = [str(len(found)), *(element.tag for element in found)] if found else ["1", "passed"]
    return words, "\n".join(f"{e.get('message')} {e.text}" for e in found)


@pytest.mark.parametrize("marker", MARKERS)
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
