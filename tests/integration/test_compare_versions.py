"""Two real versions of ONNX Runtime in two environments, from scenario to verdict; and the examples
for CI systems against those systems' own schemas.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import zipfile
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from ruamel.yaml import YAML
from support.paths import ROOT
from support.tiny_onnx import tiny_onnx

from harness.results.store import read_run

VERSIONS = ("1.31.1", importlib.metadata.version("onnxruntime"))
"""One that pip installs for this, and the one that is here."""
SCENARIO = f"""
scenario: versions
model: {{name: tiny, source: {{onnx: tiny.onnx}}}}
environments:
  old: {{packages: [onnxruntime=={VERSIONS[0]}]}}
  new: {{python: {sys.executable}}}
backends:
  - {{kind: onnxruntime, threads: 1, environment: old}}
  - {{kind: onnxruntime, threads: 1, environment: new}}
load: {{concurrency: [1]}}
measurement: {{profile: quick, warmup: 20ms, warmup_requests: 5, window: 150ms, window_max: 300ms,
              window_requests: 100}}
"""


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Gives an index that does not answer up within a minute, but where it must be there."""
    retries = "5" if os.environ.get("CI") == "true" else "1"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--timeout", "20",
               "--retries", retries, *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel from the index; skips where none is reachable."""
    folder = tmp_path_factory.mktemp("wheels")
    done = pip("download", "-q", "--no-deps", "-d", str(folder), "check-jsonschema==0.37.4")
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_two_versions_from_scenario_to_verdict(index: Path, tmp_path: Path) -> None:
    tiny_onnx(tmp_path / "tiny.onnx")
    (tmp_path / "s.yaml").write_text(SCENARIO)
    done = subprocess.run(
        [sys.executable, "-m", "harness", "compare", "s.yaml", "--base", "old", "--candidate",
         "new", "-o", "out", "--blocks", "4", "--json", "o.json", "--junit", "o.xml"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=580,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode in (0, 1, 4), done.stderr
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["exit_code"] == done.returncode
    (found,) = result["comparisons"]
    assert found["verdict"].upper() in done.stdout
    assert found["changed"]["onnxruntime"] == {"base": VERSIONS[0], "candidate": VERSIONS[1]}
    (point,) = found["points"]
    assert point["point"] == "b1/c1"
    assert Xml.parse(tmp_path / "o.xml").getroot().find(".//testcase") is not None

    data = read_run(tmp_path / "out")
    loaded = {(row.backend, row.details["onnxruntime"]) for row in data.loads}  # type: ignore[typeddict-item]
    names = [f"onnxruntime-cpu-fp32-{name}" for name in ("old", "new")]
    assert loaded == set(zip(names, VERSIONS, strict=True))
    assert {row.status for row in data.parity} == {"agrees"}
    environments = data.manifest["environments"]
    assert [environments[n]["packages"]["onnxruntime"]["version"] for n in ("old", "new")] == list(
        VERSIONS
    )
    lock = environments["old"]["packages"]["onnxruntime"]
    assert re.fullmatch("[0-9a-f]{64}", lock["sha256"])
    assert str(tmp_path / "cache") in environments["old"]["python"]
    assert environments["new"]["python"] == sys.executable


@pytest.mark.parametrize(
    ("begins", "schema"),
    [("name: compare", "github-workflows"), ("compare:", "gitlab-ci")],
)
def test_the_examples_hold_the_schemas(begins: str, schema: str, index: Path) -> None:
    """The schemas are SchemaStore's, as the package check-jsonschema carries them."""
    page = (ROOT / "docs" / "compare.md").read_text()
    (text,) = [t for t in re.findall(r"```yaml\n(.*?)```", page, re.S) if t.startswith(begins)]
    written = YAML(typ="safe").load(StringIO(text))
    (wheel,) = index.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(f"/vendor/{schema}.json")]
        rules = json.loads(archive.read(name))
    validator = jsonschema.validators.validator_for(rules)(rules)
    assert [e.message for e in validator.iter_errors(written)] == []
    del written[next(iter(written))]
    assert [e.message for e in validator.iter_errors({**written, "jobs": 3, "x": 3})]
