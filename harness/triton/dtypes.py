"""Names of element types: numpy's, Triton's in requests and metadata, and its config.pbtxt's."""

from __future__ import annotations

from harness.errors import ModelRefusedError

TRITON: dict[str, str] = {
    "float32": "FP32", "float16": "FP16", "float64": "FP64", "bfloat16": "BF16",
    "int64": "INT64", "int32": "INT32", "int16": "INT16", "int8": "INT8",
    "uint64": "UINT64", "uint32": "UINT32", "uint16": "UINT16", "uint8": "UINT8",
    "bool": "BOOL", "string": "BYTES",
}  # fmt: skip
"""Numpy's name → Triton's datatype; config.pbtxt writes the same with `TYPE_` before it, but
`TYPE_STRING` for BYTES."""

NUMPY = {triton: name for name, triton in TRITON.items()}


def to_triton(dtype: str, tensor: str) -> str:
    """Triton's datatype for a numpy dtype name. Raises ModelRefusedError naming the tensor."""
    if dtype not in TRITON:
        nested = dtype in ("sequence", "map", "optional")
        fix = "give tensors: a classifier is exported without ZipMap, a sequence concatenated"
        fix = fix if nested else f"cast it to {', '.join(TRITON)}"
        raise ModelRefusedError(f"'{tensor}' is {dtype}, a type that Triton doesn't have", fix=fix)
    return TRITON[dtype]


def to_config(dtype: str, tensor: str) -> str:
    """The same as config.pbtxt calls it. Raises ModelRefusedError naming the tensor."""
    found = to_triton(dtype, tensor)
    return "TYPE_STRING" if found == "BYTES" else f"TYPE_{found}"


def to_numpy(datatype: str, tensor: str) -> str:
    """Numpy's name for a Triton datatype. Raises ModelRefusedError naming the tensor."""
    if datatype not in NUMPY:
        raise ModelRefusedError(f"'{tensor}' on the server is {datatype}, which is not supported")
    return NUMPY[datatype]
