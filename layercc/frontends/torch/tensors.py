"""Tensors and element types of PyTorch as those of the IR."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ir.diagnostics import InvalidModelError, UnsupportedError
from ir.dtypes import DType

#: PyTorch's name of an element type → ours.
_NAMES = {
    "float16": DType.f16, "bfloat16": DType.bf16, "float32": DType.f32, "float64": DType.f64,
    "int8": DType.i8, "int16": DType.i16, "int32": DType.i32, "int64": DType.i64,
    "uint8": DType.u8, "uint16": DType.u16, "uint32": DType.u32, "uint64": DType.u64,
    "bool": DType.bool, "complex64": DType.c64, "complex128": DType.c128,
    "float8_e4m3fn": DType.f8e4m3fn, "float8_e4m3fnuz": DType.f8e4m3fnuz,
    "float8_e5m2": DType.f8e5m2, "float8_e5m2fnuz": DType.f8e5m2fnuz,
    "float8_e8m0fnu": DType.f8e8m0fnu,
}  # fmt: skip
_OURS = {getattr(torch, name): dtype for name, dtype in _NAMES.items() if hasattr(torch, name)}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
#: Types that NumPy has from ml_dtypes: PyTorch hands their bytes out as integers.
_BYTES = {2: (torch.int16, np.int16), 1: (torch.uint8, np.uint8)}


def dtype_of(dtype: Any) -> DType:
    """Our element type of a `torch.dtype`. Raises UnsupportedError for one that the IR lacks."""
    found = _OURS.get(dtype)
    if found is None:
        raise UnsupportedError(f"tensors of {dtype} are not supported")
    return found


def torch_dtype(dtype: DType) -> Any:
    """The `torch.dtype` of an element type of ours. Raises UnsupportedError if there is none."""
    found = _THEIRS.get(dtype)
    if found is None:
        raise UnsupportedError(f"PyTorch has no tensors of {dtype}")
    return found


def as_array(tensor: Any, what: str = "the tensor") -> np.ndarray:
    """The elements of a tensor as an array, which shares its memory if that is the CPU's.

    Raises UnsupportedError for layouts and types that the IR lacks, InvalidModelError for a tensor
    without data; `what` names it.
    """
    if tensor.layout != torch.strided or tensor.is_quantized:
        kind = "quantized" if tensor.is_quantized else tensor.layout
        raise UnsupportedError(f"{what} is {kind}; a dense tensor (.to_dense(), ...) would fit")
    if tensor.is_meta or isinstance(tensor, torch._subclasses.FakeTensor):
        raise InvalidModelError(f"{what} holds no data: it is on the device 'meta'")
    ours = dtype_of(tensor.dtype)
    dense = tensor.detach().cpu().resolve_conj().resolve_neg()
    if ours.value.isbuiltin == 1:
        return dense.numpy()
    holder, plain = _BYTES[ours.itemsize]
    return dense.view(holder).numpy().view(plain).view(ours.value)


def as_tensor(array: np.ndarray) -> Any:
    """An array as a tensor, which shares its memory."""
    from ir.dtypes import dtype_of as array_dtype

    ours = array_dtype(array)
    if ours.value.isbuiltin == 1:
        return torch.from_numpy(array)
    _, plain = _BYTES[ours.itemsize]
    return torch.from_numpy(array.view(plain)).view(torch_dtype(ours))
