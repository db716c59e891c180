import json

import pytest

from harness.compare.calibration import write_calibration
from harness.errors import SetupError
from harness.results.calibration import calibration_path, machine_key, read_calibration

MACHINE = {
    "hostname": "bench-1",
    "cpu": {"model": "AMD EPYC 9B14 (Genoa)", "usable": 2, "threads": 4},
    "gpus": [{"name": "H100", "uuid": "GPU-1"}, {"name": "A10", "uuid": "GPU-2"}],
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_key_is_that_of_machines_that_are_alike():
    key = machine_key(MACHINE)
    assert key.startswith("amd-epyc-9b14-genoa-2-")
    assert machine_key({**MACHINE, "hostname": "x", "gpus": MACHINE["gpus"][::-1]}) == key
    assert machine_key({**MACHINE, "gpus": []}) != key
    assert machine_key({**MACHINE, "cpu": {**MACHINE["cpu"], "usable": 4}}) != key
    assert machine_key({}).startswith("cpu-")


def test_what_is_written_is_read_back_on_the_same_machine_only(home):
    path, kept = write_calibration(MACHINE, {"detectable": {"p50": float("inf")}})
    assert kept["schema_version"] == 2
    assert path.parent == home / "inference-harness" / "calibration"
    found = read_calibration(MACHINE)
    assert found["detectable"] == {"p50": "inf"}
    assert found["machine"]["gpus"] == ["A10", "H100"]
    assert read_calibration({**MACHINE, "gpus": []}) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_what_can_not_be_understood_is_no_calibration(text):
    path = calibration_path(MACHINE)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_calibration(MACHINE) is None


def test_a_folder_that_can_not_be_written_is_named(home):
    (home / "inference-harness").write_text("a file")
    with pytest.raises(SetupError, match="can't be written"):
        write_calibration(MACHINE, {})


def test_manifest_carries_the_calibration(home, tmp_path):
    from harness.results.manifest import make_manifest
    from harness.scenario.reading.loader import load_text
    from harness.system.machine import describe_machine

    text = "scenario: x\nmodel: {name: m, source: {fake: {}}}\nbackends: [{kind: fake}]\n"
    scenario = load_text(text)
    assert make_manifest(scenario, text, tmp_path / "x.yaml", [])["calibration"] is None
    write_calibration(describe_machine(), {"scenario": "fake"})
    found = make_manifest(scenario, text, tmp_path / "x.yaml", [])
    assert found["calibration"]["scenario"] == "fake"
    json.dumps(found)
