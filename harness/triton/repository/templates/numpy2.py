"""Lets the embedded server's Python backend work with numpy 2.

The stub of this release (24.10) finds an array's item size where numpy 1 kept it. With numpy 2 it
reads 0 there, and without an error: `Tensor.as_numpy()` repeats the first element everywhere, and
`Tensor(name, array)` holds no bytes. Triton 24.11 has the fix. Here both go through DLPack, which
needs no knowledge of numpy's structures; DLPack has no strings, which go out by `serialized`.
Strings that come in stay out of reach: the stub spoils them before Python runs. Imported by
triton_python_backend_utils.py, before the stub takes its classes from `c_python_backend_utils`.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Protocol, cast

import c_python_backend_utils as native
import numpy as np
from numpy.typing import NDArray

import harness.system.environment  # noqa: F401 - models import from the scenario's folder, last

Array = NDArray[np.generic]
_NAME, _USED = b"dltensor", b"used_dltensor"
_ITEM_SIZE = 32
"""Where the item size was in numpy 1's description of a type: behind the object's head (16 bytes),
the type of its scalars (8), four letters and the type's number (4)."""
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype, _rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]

_Native = native.Tensor
_native_as_numpy = _Native.as_numpy


class Exported(Protocol):
    """A tensor whose memory can be had by DLPack."""

    def __dlpack__(self) -> object:
        """The capsule."""
        ...


def as_numpy(tensor: Exported) -> Array:
    """The tensor's memory as a writable array that keeps the tensor alive."""
    try:
        view: Array = np.from_dlpack(tensor)  # type: ignore[arg-type]
    except (BufferError, TypeError, RuntimeError):  # on a GPU, or strings
        return np.asarray(_native_as_numpy(tensor))
    if view.size == 0:
        return view
    memory: Any = (ctypes.c_byte * view.nbytes).from_address(view.ctypes.data)
    memory.owner = view
    return np.frombuffer(memory, view.dtype).reshape(view.shape)


def _capsule(array: Array) -> object:
    """A DLPack capsule that the stub may rename as it likes: numpy's own would complain."""
    original = cast(Exported, array).__dlpack__()
    pointer = _pointer(original, _NAME)
    _rename(original, _USED)
    return _new(pointer, _NAME, None)


class _TensorType(type):
    """Makes isinstance() true for what the stub makes."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _Native)


class StandIn(metaclass=_TensorType):
    """Stands in for the stub's class: `Tensor(name, array)` and `Tensor.from_dlpack`."""

    from_dlpack = staticmethod(_Native.from_dlpack)

    def __new__(cls, name: str, array: Array) -> Any:
        """A tensor of the stub's class, from a numpy array."""
        if array.dtype.kind in "OS":
            return _Native(name, array)
        plain = np.ascontiguousarray(array).reshape(-1).reshape(array.shape)
        return _Native.from_dlpack(name, _capsule(plain if plain.flags.writeable else plain.copy()))


def serialized(array: Array) -> Array:
    """An array of strings as the stub sends it: each with its length before it, in four bytes.

    The stub takes as many bytes as the array has elements times the item size that it finds, which
    here has to be 1: written where numpy 1 kept it, in a type that is this array's own. The memory
    is not the array's, so that nothing else looks there.
    """
    values = [v if isinstance(v, bytes) else str(v).encode() for v in array.ravel().tolist()]
    joined = b"".join(len(value).to_bytes(4, "little") + value for value in values)
    made = np.frombuffer(joined, np.dtype(np.uint8, copy=True))
    ctypes.c_int.from_address(id(made.dtype) + _ITEM_SIZE).value = 1
    return made


if int(np.__version__.partition(".")[0]) >= 2:
    _Native.as_numpy = as_numpy
    native.Tensor = StandIn
    vars(sys.modules["triton_python_backend_utils"])["serialize_byte_tensor"] = serialized
