"""The version is said once."""

import importlib.metadata

import harness
from harness.version import __version__


def test_one_version():
    assert importlib.metadata.version("inference-harness") == harness.__version__ == __version__
