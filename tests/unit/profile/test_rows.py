from __future__ import annotations

import pytest
from support.kineto import CONV, NORM, Machine
from support.profiled import gpu_profile

from harness.profile.result import Row
from harness.profile.rows import COLUMNS, NONE, by_name, longest, size_text

(BACKEND,) = gpu_profile(Machine(noise=0.0)).backends
(BATCH,) = BACKEND.batches


def test_operators_and_layers_of_every_runtime_stand_in_one_list() -> None:
    layer = Row("tensorrt", "fused", "layer", "", 1, 500.0, 0.5)
    both = [r.name for r in longest(type(BATCH)(**{**fields(), "layers": [layer]}), 3)]
    assert both == [CONV[0], "fused", NORM[0]]
    assert len(longest(BATCH, 1)) == 1


def fields() -> dict[str, object]:
    return {name: getattr(BATCH, name) for name in BATCH.__dataclass_fields__}


def test_what_a_row_reaches_is_against_the_ceiling_of_its_side() -> None:
    conv, norm = longest(BATCH, 2)
    reaches = COLUMNS["reaches (of ceiling)"]
    assert reaches(conv, BACKEND) == "33.3 TFLOP/s (33%)"
    assert reaches(norm, BACKEND) == "667 GB/s (67%)"
    assert (COLUMNS["side"](conv, BACKEND), COLUMNS["calls"](conv, BACKEND)) == ("compute", "20")
    unknown = Row("kernel", "k", "kernel", "", 1, 5.0, 0.1)
    assert (reaches(unknown, BACKEND), COLUMNS["side"](unknown, BACKEND)) == (NONE, NONE)


def test_by_name_adds_shapes_up_and_leaves_kernels_out() -> None:
    rows = [
        Row("torch", "a", "a", "[1]", 1, 5, 0.1, memory_bytes=10),
        Row("torch", "a", "a", "[2]", 1, 5, 0.3, memory_bytes=5),
        Row("torch", "b", "b", "[1]", 1, 5, 0.2),
        Row("kernel", "k", "kernel", "", 1, 9, 0.9),
    ]
    assert by_name(rows) == [("a", pytest.approx(0.4), 15), ("b", 0.2, 0.0)]


@pytest.mark.parametrize(
    ("size", "text"), [(3 * 2**30, "3 GiB"), (2**21, "2 MiB"), (1536, "1.5 KiB"), (10.0, "10 B")]
)
def test_sizes_have_binary_prefixes(size: float, text: str) -> None:
    assert size_text(size) == text
