"""A small convolution network as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def tiny_onnx(path: Path, *, scale: float = 0.1, batch: int | str = "batch") -> Path:
    """Write conv → relu → pool → matmul: input [batch, 3, 16, 16] → output [batch, 10], fp32."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": (rng.standard_normal((16, 3, 3, 3)) * scale).astype(np.float32),
        "b1": np.zeros(16, np.float32),
        "w2": (rng.standard_normal((16, 10)) * scale).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input", "w1", "b1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"]),
        helper.make_node("MatMul", ["f", "w2"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def quantized_onnx(path: Path) -> Path:
    """`tiny_onnx` in int8: quantize and dequantize nodes around each operator."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            rng = np.random.default_rng(1)
            arrays = [rng.standard_normal((1, 3, 16, 16), np.float32) for _ in range(8)]
            self.left = [{"input": array} for array in arrays]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    source = tiny_onnx(path.with_name(f"{path.stem}-fp32.onnx"), scale=0.3)
    quantize_static(source, path, Reader(), quant_format=QuantFormat.QDQ)
    return path
