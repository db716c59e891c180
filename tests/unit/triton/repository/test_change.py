"""Configurations are changed through Triton's own message, and everything else is left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from harness.errors import HarnessError, ModelRefusedError, ServerError
from harness.scenario.spec.colocated import Batching
from harness.triton.client.settings import TritonSettings
from harness.triton.repository.change import (
    finalizes,
    is_plain,
    link_models,
    merged,
    read_config,
    served_name,
    set_batching,
    settle,
    write_variant,
)

WRITTEN = """
# a comment
platform: "onnxruntime_onnx"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [ 16 ] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [ 16 ] label_filename: "labels.txt" }]
instance_group [{ count: 3 kind: KIND_GPU gpus: [ 1 ] }, { count: 1 kind: KIND_CPU }]
dynamic_batching { preferred_batch_size: [ 2 ] max_queue_delay_microseconds: 100 }
parameters { key: "a" value { string_value: "1" } }
"""


def triton(**keys: Any) -> TritonSettings:
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "grpc", "name": "t", "server": {"repository": "models"},
        **keys,
    })  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "users"
    model = folder / "net"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(WRITTEN)
    (model / "labels.txt").write_text("cat\n")
    (model / "1" / "model.onnx").write_text("weights")
    (folder / "other" / "1").mkdir(parents=True)
    return folder


def config() -> Any:
    return text_format.Parse(WRITTEN, ModelConfig())


def test_what_is_not_mentioned_stays() -> None:
    found, notes = settle(config(), triton())
    assert found == config()
    assert notes == []


def test_instances_keep_kind_and_devices_of_the_first_group() -> None:
    found, _ = settle(config(), triton(instances=2))
    (group,) = found.instance_group
    assert (group.count, group.kind) == (2, ModelInstanceGroup.KIND_GPU)
    assert list(group.gpus) == [1]
    bare, _ = settle(ModelConfig(), triton(instances=2))
    assert [(g.count, g.kind) for g in bare.instance_group] == [(2, ModelInstanceGroup.KIND_AUTO)]


def test_batching_off_on_and_with_settings() -> None:
    off, _ = settle(config(), triton(dynamic_batching=False))
    assert not off.HasField("dynamic_batching")
    on, _ = settle(config(), triton(dynamic_batching=True))
    assert on.dynamic_batching == config().dynamic_batching
    wanted = {"preferred": [4, 8], "queue_delay": "500us"}
    other, notes = settle(config(), triton(dynamic_batching=wanted))
    assert list(other.dynamic_batching.preferred_batch_size) == [4, 8]
    assert other.dynamic_batching.max_queue_delay_microseconds == 500
    assert notes == []


def test_preferred_sizes_above_the_largest_batch_are_left_out_with_a_note() -> None:
    """Triton would not load the model."""
    wanted = {"preferred": [2, 4, 8]}
    found, notes = settle(config(), triton(max_batch_size=4, dynamic_batching=wanted))
    assert list(found.dynamic_batching.preferred_batch_size) == [2, 4]
    assert notes == ["preferred batch size 8 is above max_batch_size 4 and was left out"]
    alone = ModelConfig(max_batch_size=1)
    assert set_batching(alone, Batching.model_validate({"preferred": 4})) != []
    assert alone.HasField("dynamic_batching")


@pytest.mark.parametrize(("size", "served", "notes"), [(4, 4, 0), (8, 8, 0), (16, 8, 1)])
def test_the_engine_limits_the_largest_batch(size: int, served: int, notes: int) -> None:
    plan = config()
    plan.platform = "tensorrt_plan"
    found, said = settle(plan, triton(max_batch_size=size))
    assert found.max_batch_size == served
    assert len(said) == notes
    onnx, none = settle(config(), triton(max_batch_size=size))
    assert (onnx.max_batch_size, none) == (size, [])


def test_any_field_merges_and_lists_replace() -> None:
    fields = {
        "parameters": {"b": {"string_value": "2"}},
        "instance_group": [{"count": 5, "kind": "KIND_CPU"}],
        "dynamic_batching": {"preserve_ordering": True},
        "optimization": {"execution_accelerators": {
            "gpu_execution_accelerator": [{"name": "tensorrt"}]
        }},
        "platform": None,
    }  # fmt: skip
    found = merged(config(), fields)
    assert {k: v.string_value for k, v in found.parameters.items()} == {"a": "1", "b": "2"}
    assert [g.count for g in found.instance_group] == [5]
    assert found.dynamic_batching.preserve_ordering
    assert found.dynamic_batching.max_queue_delay_microseconds == 100
    accelerators = found.optimization.execution_accelerators.gpu_execution_accelerator
    assert [a.name for a in accelerators] == ["tensorrt"]
    assert found.platform == ""
    assert found.input == config().input


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"a": "1"}},
        {"optimization": {"grpah": {"level": 1}}},
        {"max_batch_size": "many"},
        {"sequence_batching": {}, "ensemble_scheduling": {}},
    ],
)
def test_a_field_that_triton_does_not_have_is_said(fields: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="does not fit Triton's model configuration"):
        merged(config(), fields)


def test_a_variant_is_a_whole_model_directory(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    link_models(output, repository)
    name = served_name("net", "i2")
    assert write_variant(output, repository / "net", name, triton(instances=2)) == []
    found = text_format.Parse((output / "net_i2" / "config.pbtxt").read_text(), ModelConfig())
    assert (found.name, found.instance_group[0].count) == ("net_i2", 2)
    assert found.output == config().output
    assert (output / "net_i2" / "labels.txt").read_text() == "cat\n"
    assert (output / "net_i2" / "1" / "model.onnx").read_text() == "weights"
    assert {p.name for p in output.iterdir()} == {"net", "net_i2", "other"}
    assert (repository / "net" / "config.pbtxt").read_text() == WRITTEN


def test_a_changed_default_stands_in_for_the_users_model(repository: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    for size in (4, 2):  # a second time replaces
        link_models(output, repository)
        write_variant(output, repository / "net", "net", triton(max_batch_size=size))
    assert read_config(output / "net").max_batch_size == 2
    assert (repository / "net" / "config.pbtxt").read_text() == WRITTEN


def test_a_model_without_a_configuration_is_left_to_triton(tmp_path: Path) -> None:
    (tmp_path / "users" / "auto" / "1").mkdir(parents=True)
    write_variant(tmp_path / "out", tmp_path / "users" / "auto", "auto_i2", triton(instances=2))
    found = read_config(tmp_path / "out" / "auto_i2")
    assert (found.name, found.instance_group[0].count, found.platform) == ("auto_i2", 2, "")


def test_what_cannot_be_read_is_said(repository: Path, tmp_path: Path) -> None:
    (repository / "net" / "config.pbtxt").write_text("max_batch_size: many")
    with pytest.raises(ServerError, match=r"net/config\.pbtxt can't be read"):
        write_variant(tmp_path / "out", repository / "net", "net_i2", triton(instances=2))
    with pytest.raises(ServerError, match="has no model 'absent'"):
        write_variant(tmp_path / "out", repository / "absent", "absent_i2", triton(instances=2))


@pytest.mark.parametrize("name", ["config.pbtxt", "1/model.py"])
def test_a_pipe_is_refused_and_not_waited_for(repository: Path, name: str) -> None:
    (repository / "net" / "1" / "model.py").write_text("pass")
    (repository / "net" / name).unlink()
    os.mkfifo(repository / "net" / name)
    with pytest.raises(HarnessError, match=f"{name} is a named pipe, not a regular file"):
        is_plain(repository / "net")


def test_only_a_python_model_without_finalize_can_be_ended_at_once(tmp_path: Path) -> None:
    assert finalizes(tmp_path)
    version = tmp_path / "1"
    version.mkdir()
    (version / "model.py").write_text("class TritonPythonModel: ...")
    assert not finalizes(tmp_path)
    (version / "model.py").write_text("class TritonPythonModel:\n    def finalize(self): ...")
    assert finalizes(tmp_path)


def test_the_version_that_is_asked_for_is_the_only_one_that_is_loaded() -> None:
    users = text_format.Parse("version_policy { all { } }", ModelConfig())
    found, _ = settle(users, triton(version=1))
    assert list(found.version_policy.specific.versions) == [1]
    by_hand = {"version_policy": {"latest": {"num_versions": 2}}}
    assert settle(users, triton(version=1, config=by_hand))[0] == merged(users, by_hand)


def test_a_member_of_a_oneof_takes_the_place_of_the_other() -> None:
    """protobuf refuses a message with two; triton-inference-server/model_analyzer#162, #400."""
    versions = text_format.Parse("version_policy { all { } }", ModelConfig())
    one = merged(versions, {"version_policy": {"specific": {"versions": [1]}}})
    assert list(one.version_policy.specific.versions) == [1]
    assert merged(one, {"version_policy": {"latest": {"num_versions": 2}}}) == text_format.Parse(
        "version_policy { latest { num_versions: 2 } }", ModelConfig()
    )
    sequences = text_format.Parse("sequence_batching { direct { } }", ModelConfig())
    oldest = merged(sequences, {"sequence_batching": {"oldest": {"max_candidate_sequences": 4}}})
    assert oldest.sequence_batching.WhichOneof("strategy_choice") == "oldest"
    assert merged(config(), {"sequence_batching": {}}).HasField("sequence_batching")


@pytest.mark.parametrize("scheduled", ["sequence_batching", "ensemble_scheduling"])
@pytest.mark.parametrize(
    "keys",
    [
        {"dynamic_batching": True},
        {"dynamic_batching": {"queue_delay": "1ms"}},
        {"config": {"dynamic_batching": {}}},
    ],
)
def test_the_dynamic_batcher_takes_no_other_schedulers_place(
    scheduled: str, keys: dict[str, Any]
) -> None:
    """Triton would serve another model than the user's, and its numbers would bear its name."""
    users = text_format.Parse(f'name: "net" max_batch_size: 4 {scheduled} {{ }}', ModelConfig())
    with pytest.raises(ModelRefusedError, match=f"over the {scheduled} of 'net'"):
        settle(users, triton(**keys))
    assert users.HasField(scheduled)
    assert settle(users, triton(dynamic_batching=False, instances=2))[1] == []


def test_a_scheduler_is_changed_where_that_is_said_and_only_one_is_asked_for() -> None:
    users = text_format.Parse('name: "net" sequence_batching { }', ModelConfig())
    found = merged(users, {"sequence_batching": None, "dynamic_batching": {}})
    assert found.HasField("dynamic_batching")
    with pytest.raises(ModelRefusedError, match="over the sequence_batching of"):
        settle(config(), triton(dynamic_batching=True, config={"sequence_batching": {}}))
