"""What every test may use, and which tests this machine can't run.

Where CI=true nothing that can run without a GPU is skipped: a missing Chromium or Triton fails.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CI = os.environ.get("CI", "").lower() in ("true", "1")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# a shell ignores Ctrl-C for what it starts in the background, and what tests start would inherit it
signal.signal(signal.SIGINT, signal.default_int_handler)
with contextlib.suppress(ImportError):  # it must come before anything imports distutils: torch's
    import setuptools  # noqa: F401       compiler imports it, and it then insists on its own
with contextlib.suppress(ImportError):  # tests/gpu runs without it, in images that lack it
    from hypothesis import settings

    settings.register_profile("harness", deadline=None, derandomize=CI)
    settings.load_profile("harness")


@functools.cache
def no_gpu() -> str | None:
    from harness.system.machine import probe_gpus

    return probe_gpus()[1]


@functools.cache
def no_browser() -> str | None:
    if any(shutil.which(name) for name in BROWSERS):
        return None
    return "no Chromium (apt-get install chromium)"


@functools.cache
def no_triton() -> str | None:
    from harness.errors import HarnessError
    from harness.triton.server.install import find

    try:
        find()
    except HarnessError as error:
        return f"no embedded Triton ({error.message})"
    return None


NEEDS = {"gpu": no_gpu, "browser": no_browser, "triton": no_triton}


def pytest_runtest_setup(item):
    for name, lacks in NEEDS.items():
        if item.get_closest_marker(name) and (reason := lacks()):
            if CI and name != "gpu":
                pytest.fail(f"{reason}; in CI that is a failure, not a skip", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser; for tests marked `browser`."""
    return next(path for name in BROWSERS if (path := shutil.which(name)))


@pytest.fixture
def run_cli(tmp_path):
    """Call `python -m harness ARGS…` and return the finished process, its output as text.

    `cache=True` gives it an empty XDG_CACHE_HOME; `env` adds variables (None removes one); other
    arguments go to subprocess.run.
    """

    def run(*args, cache=False, env=None, timeout=240, **kwargs):
        variables = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **(env or {})}
        if cache:
            variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        return subprocess.run(
            [sys.executable, "-m", "harness", *map(str, args)],
            capture_output=True, text=True, timeout=timeout, check=False,
            env={k: v for k, v in variables.items() if v is not None},
            **{"stdin": subprocess.DEVNULL, "cwd": ROOT, **kwargs},
        )  # fmt: skip

    return run
