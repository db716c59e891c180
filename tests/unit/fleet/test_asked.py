"""What `--devices` asks for on this machine."""

from __future__ import annotations

from typing import Any

import pytest
from support.lanes import scenario

from harness.errors import DeviceError, UsageError
from harness.fleet import asked, mig

SERVED = {"kind": "triton", "protocol": "grpc", "serve": "onnxruntime",
          "name": "t", "server": {"docker": {"image": "triton"}}}  # fmt: skip


def test_lanes_do_not_share_a_server_that_runs_elsewhere() -> None:
    with pytest.raises(UsageError, match="the server of t does not run in the lane"):
        asked.lanes_of("cpus:1", scenario(**SERVED))


def test_without_a_gpu_here_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "probe_gpus", lambda: ([], "no driver"))
    with pytest.raises(DeviceError, match=r"there is no GPU here \(no driver\)"):
        asked.lanes_of("all", scenario("cuda"))
    for text in ("", "cpus:", "gpu", "cuda:x"):
        with pytest.raises(UsageError, match=f"'{text}' names no devices"):
            asked.lanes_of(text, scenario("cuda"))
    (lane,) = asked.lanes_of("cpus:1", scenario("cpu"))
    assert lane.cpus


def test_a_gpu_in_mig_mode_has_a_lane_for_each_of_its_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board: Any = {"index": 0, "ordinal": 0, "uuid": "GPU-a", "name": "H100", "mig": True}
    monkeypatch.setattr(asked, "probe_gpus", lambda: ([board], None))
    monkeypatch.setattr(mig, "instances", lambda uuid: [("MIG-1", "1g.10gb of " + uuid)])
    (lane,) = asked.lanes_of("all", scenario("cuda"))
    assert (lane.device, lane.uuid, lane.env) == (
        "MIG-1", "MIG-1", {"CUDA_VISIBLE_DEVICES": "MIG-1"},
    )  # fmt: skip
