"""The ONNX models of compare_aa."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH, ROWS = 256, 64


def products(path: Path, layers: int) -> Path:
    """[ROWS, WIDTH] through so many equal matrix products."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(
            (rng.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), f"w{n}"
        )
        for n in range(layers)
    ]
    names = ["x", *(f"h{n}" for n in range(layers - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]], name=f"product{n}")
        for n in range(layers)
    ]
    return _save(path, nodes, weights, [ROWS, WIDTH], [ROWS, WIDTH])


def resized(path: Path, mode: str) -> Path:
    """Eight layers, of which the fourth is a Resize: slower in the modes `linear` and `cubic`."""
    scales = numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")
    nodes, now = [], "x"
    for n in range(8):
        out = "y" if n == 7 else f"h{n}"
        if n == 3:
            nodes.append(
                helper.make_node("Resize", [now, "", "scales"], [out], name="resize", mode=mode)
            )
        else:
            kind = ("Sigmoid", "Tanh", "Erf")[n % 3]
            nodes.append(helper.make_node(kind, [now], [out], name=f"layer{n}"))
        now = out
    return _save(path, nodes, [scales], [1, 8, 64, 64], [1, 8, 256, 256])


def _save(
    path: Path, nodes: Sequence[Any], weights: Sequence[Any], into: list[int], out: list[int]
) -> Path:
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, into)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)], weights,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path
