"""PyTorch's tensors without DLPack, where that comes to the same: a tenth of the time.

A tensor on the stream that the work is queued on needs no waiting, and of a plain one all that a
capsule would say can be asked. Nothing here imports PyTorch: who has a tensor has.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from ir.dtypes import DType

_NAMES = {
    "float16": DType.f16, "float32": DType.f32, "float64": DType.f64, "bfloat16": DType.bf16,
    "int8": DType.i8, "int16": DType.i16, "int32": DType.i32, "int64": DType.i64,
    "uint8": DType.u8, "bool": DType.bool,
}  # fmt: skip


@functools.cache
def _dtypes(torch: Any) -> dict[Any, np.dtype]:
    """Element types of which a tensor holds the values as they are: no lazy conjugates."""
    return {getattr(torch, name): dtype.value for name, dtype in _NAMES.items()}


def plain(given: Any, ordinal: int, stream: int) -> tuple[int, np.dtype, tuple[int, ...]] | None:
    """Address, element type and shape of a dense tensor on the device of this number, whose current
    stream is `stream`; None for any other tensor, which DLPack is to tell of, and what is none."""
    torch = sys.modules.get("torch")
    if torch is None or type(given) is not torch.Tensor or given.get_device() != ordinal:
        return None
    dtype = _dtypes(torch).get(given.dtype)
    if (
        dtype is None
        or given.requires_grad
        or given.layout is not torch.strided
        or given.is_neg()
        or not given.is_contiguous()
        or (torch._C._cuda_getCurrentRawStream(ordinal) or 1) != stream
    ):
        return None
    return given.data_ptr(), dtype, tuple(given.shape)
