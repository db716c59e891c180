"""What `harness triton serve` refuses before it starts a server."""

import pytest

from harness.errors import UsageError
from harness.monitor.serve import _choose, serve


def model(repository, name, text, version=True):
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(text)
    if version:
        (repository / name / "1" / "model.py").touch()


@pytest.fixture
def repository(tmp_path):
    model(tmp_path, "good", 'backend: "python"')
    model(tmp_path, "engine", 'platform: "tensorrt_plan"')
    model(tmp_path, "empty", 'backend: "python"', version=False)
    return tmp_path


def test_what_can_not_be_served_is_left_out_with_the_reason(repository):
    said = []
    assert _choose(repository, (), said.append) == ["good"]
    assert [line.split(":")[1].strip() for line in said] == ["empty", "engine"]
    assert "no backend for tensorrt_plan" in said[1]


def test_only_the_models_that_were_asked_for(repository):
    said = []
    assert _choose(repository, ("good",), said.append) == ["good"] and said == []
    with pytest.raises(UsageError, match="has no model other"):
        _choose(repository, ("other", "good"), said.append)
    with pytest.raises(UsageError, match="no model that the embedded server can run"):
        _choose(repository, ("engine",), said.append)


def test_no_repository(tmp_path):
    with pytest.raises(UsageError, match="not a model repository"):
        serve(tmp_path / "none", {}, (), print)
