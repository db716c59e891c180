"""The Dockerfile by hadolint: without a finding, and it would find what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.paths import ROOT

LINTER = Path(sys.executable).parent / "hadolint"
TEXT = (ROOT / "Dockerfile").read_text("utf-8")


def found(text: str) -> set[str]:
    """The rules that a Dockerfile breaks, under the project's configuration."""
    done = subprocess.run(
        [LINTER, "--config", ROOT / ".hadolint.yaml", "--format", "json", "-"],
        input=text, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return {finding["code"] for finding in json.loads(done.stdout)}


def test_it_has_no_finding() -> None:
    assert found(TEXT) == set()


@pytest.mark.parametrize(
    ("target", "left_out"),
    [
        ("cpu", {"onnxruntime-gpu", "tensorrt", "pycuda"}),  # of a GPU
        ("gpu", {"onnxruntime", "tensorrt", "pycuda"}),  # TensorRT is in the image, PyCUDA apart
    ],
)
def test_each_image_has_every_extra_that_it_can_use(target: str, left_out: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    stage = TEXT[TEXT.index(f" AS {target}\n") :].partition("\nFROM ")[0]
    (asked,) = re.findall(r"--editable[\s\\]+'\.\[([^]]+)\]'", stage)
    assert set(asked.split(",")) == set(project["optional-dependencies"]) - left_out - {"dev"}


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("FROM ${CPU_BASE} AS cpu", "FROM python:latest AS cpu", "DL3007"),
        ("FROM ${CPU_BASE} AS cpu", "FROM python AS cpu", "DL3006"),
        ("FROM ${CPU_BASE} AS cpu", "FROM somewhere.example/python:3.11 AS cpu", "DL3026"),
        ("USER ${UID}", "USER root", "DL3002"),
        ("WORKDIR /app", "WORKDIR app", "DL3000"),
        ('ENTRYPOINT ["harness"]', "ENTRYPOINT harness", "DL3025"),
        ("apt-get install -y --no-install-recommends", "apt-get install", "DL3014"),
        ("apt-get install -y --no-install-recommends", "apt-get install -y", "DL3015"),
        ("\n && rm -rf /var/lib/apt/lists/*", "\n && true", "DL3009"),
        ("curl g++ git", "curl g++ git | tee log", "DL4006"),
    ],
)
def test_it_would_see_a_mistake(right: str, wrong: str, rule: str) -> None:
    assert right in TEXT
    assert rule in found(TEXT.replace(right, wrong))
