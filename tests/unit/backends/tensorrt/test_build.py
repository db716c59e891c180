from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.build import (
    BuildOptions,
    Range,
    Shapes,
    batch_ranges,
    check_options,
    check_precision,
    make_profiles,
    profile_for,
    type_name,
    types_in_json,
    types_in_log,
)
from harness.errors import BackendError, UsageError
from harness.models.tensors import TensorSpec

IMAGE = TensorSpec("input", "float32", ("batch", 3, 16, 16))


def test_one_profile_from_the_smallest_to_the_largest_batch() -> None:
    (profile,) = make_profiles([IMAGE], batch_ranges([16, 1, 4]), {})
    assert profile["input"] == Shapes((1, 3, 16, 16), (16, 3, 16, 16), (16, 3, 16, 16))


def test_each_batch_size_can_have_its_own_profile() -> None:
    assert batch_ranges([4, 1], each=True) == (Range(1, 1, 1), Range(4, 4, 4))


def test_min_opt_and_max_override() -> None:
    assert batch_ranges([2, 4], low=1, opt=4, high=32) == (Range(1, 4, 32),)
    assert batch_ranges([2, 4], opt=8) == (Range(2, 8, 8),)
    assert batch_ranges([2, 4], opt=1) == (Range(1, 1, 4),)


def test_a_batch_size_outside_the_profile_is_refused() -> None:
    with pytest.raises(UsageError, match="batch size 64 lies outside 1 to 16"):
        batch_ranges([1, 64], high=16)
    with pytest.raises(UsageError, match="min ≤ opt ≤ max"):
        batch_ranges([4], low=4, opt=2, high=8)


def test_other_dynamic_dimensions_have_ranges_too() -> None:
    text = TensorSpec("ids", "int64", ("batch", "seq"))
    (profile,) = make_profiles([text], [Range(1, 2, 4)], {"seq": Range(8, 64, 512)})
    assert profile["ids"] == Shapes((1, 8), (2, 64), (4, 512))
    with pytest.raises(UsageError, match="'seq' has no size"):
        make_profiles([text], [Range(1, 1, 1)], {})


def test_fixed_shapes_need_no_profile() -> None:
    assert make_profiles([TensorSpec("x", "float32", (1, 3))], [Range(1, 1, 1)], {}) == ()


def test_profile_for_takes_the_first_that_covers_the_shapes() -> None:
    profiles = make_profiles([IMAGE], batch_ranges([1, 4], each=True), {})
    assert profile_for(profiles, {"input": (4, 3, 16, 16)}) == 1
    assert profile_for(profiles, {"input": (2, 3, 16, 16)}) is None
    assert profile_for(profiles, {"input": (4, 3, 16)}) is None
    assert profile_for(profiles, {"other": (4, 3, 16, 16)}) is None


# ------------------------------------------------------------------------------- what was built

LAYERS_10 = {
    "Layers": [
        {"Name": "a", "Outputs": [{"Name": "x", "Format/Datatype": "Half"}]},
        {"Name": "b", "Outputs": [{"Name": "y", "Format/Datatype": "Row major linear FP32"}]},
        {"Name": "c", "Outputs": [{"Name": "z", "Format/Datatype": "Channel major FP16 format"}]},
        {"Name": "d", "Outputs": [{"Name": "s", "Format/Datatype": "Int64"}]},
    ],
    "Bindings": ["x"],
}
LAYERS_11 = {
    "Layers": [
        {"Name": "a", "Outputs": [{"Name": "x", "Datatype": "BFloat16", "Format": "Row major"}]},
        {"Name": "b", "Outputs": [{"Name": "y", "Datatype": "Float", "Format": "Row major"}]},
    ]
}


def test_types_are_read_from_the_inspectors_json_of_all_versions() -> None:
    assert types_in_json(json.dumps(LAYERS_10)) == {"fp16": 2, "fp32": 1, "other": 1}
    assert types_in_json(json.dumps(LAYERS_11)) == {"bf16": 1, "fp32": 1}
    assert types_in_json(json.dumps({"Layers": ["names", "only"]})) == {}
    assert types_in_json("not json") == {}


def test_types_are_read_from_the_builders_log() -> None:
    log = (
        "Layers:\n"
        "Name: conv, LayerType: correlation, Inputs: [ { Name: i, Dimensions: [-1,3], Datatype: "
        "Float, Format: (Linear) Row major linear format }], Constants: [ { Name: w, Dimensions: "
        "[16], Datatype: Half, Format: (NHWC) Channel major format }], Outputs: [ { Name: o, "
        "Dimensions: [-1,16], Datatype: Half, Format: (Linear) Row major linear format }], "
        "TacticName: t, StreamId: 0, Metadata: \n"
        "Name: shape, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: ,"
        " StreamId: 0, Metadata: "
    )
    assert types_in_log(log) == {"fp16": 1}


@pytest.mark.parametrize(
    ("text", "name"),
    [("BFloat16", "bf16"), ("Half", "fp16"), ("Float", "fp32"), ("Int32", "other"),
     ("Row major Int8 format", "int8"), ("FP8", "fp8")],
)  # fmt: skip
def test_type_names(text: str, name: str) -> None:
    assert type_name(text) == name


def test_an_engine_that_silently_stayed_fp32_is_an_error() -> None:
    with pytest.raises(
        BackendError, match=r"asked for fp16, but TensorRT 11\.0 made an engine in fp32"
    ):
        check_precision("fp16", {"fp32": 52, "other": 3}, "TensorRT 11.0")
    assert check_precision("fp16", {"fp32": 2, "fp16": 50, "other": 9}, "T") == 50 / 52
    assert check_precision("tf32", {"fp32": 5}, "T") == 1.0
    assert check_precision("fp16", {}, "T") is None


# --------------------------------------------------------------------------------------- options


def _flavor(name: trt.FlavorName, **there: object) -> trt.Flavor:
    flags = SimpleNamespace(VERSION_COMPATIBLE=0)
    return trt.Flavor(name, "1.0", SimpleNamespace(BuilderFlag=flags, **there))


def test_options_that_a_flavour_lacks_are_refused_by_name() -> None:
    capabilities = SimpleNamespace(__members__={"CURRENT": 1, "SM86": 2})
    rtx = _flavor("tensorrt-rtx", ComputeCapability=capabilities)
    full = _flavor("tensorrt", HardwareCompatibilityLevel=1)
    check_options(rtx, BuildOptions(compute_capability="8.6"))
    check_options(full, BuildOptions(version_compatible=True, hardware_compatible=True))
    for flavor, options in (
        (rtx, BuildOptions(version_compatible=True)),
        (rtx, BuildOptions(hardware_compatible=True)),
        (full, BuildOptions(compute_capability="8.6")),
    ):
        with pytest.raises(UsageError, match="has no"):
            check_options(flavor, options)
    with pytest.raises(UsageError, match=r"no compute capability 9\.0; it has SM86"):
        check_options(rtx, BuildOptions(compute_capability="9.0"))


# ------------------------------------------------------------------------------------- cache key
