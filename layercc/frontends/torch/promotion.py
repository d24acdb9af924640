"""PyTorch's rules for element types: in which type an op computes."""

from __future__ import annotations

from typing import Any

import torch

from ir.dtypes import DType
from layercc.frontends.torch.tensors import dtype_of, torch_dtype
from layercc.frontends.torch.translator import Tensor, Translator


def common_dtype(*operands: Any) -> DType:
    """The type of a computation on tensors and numbers: tensors of rank 0 and Python numbers count
    only where they are of a higher kind (`torch.result_type`)."""
    dummies = [_dummy(x) for x in operands]
    if len(dummies) == 1:
        return dtype_of(dummies[0].dtype)
    result = torch.result_type(*dummies[:2])
    for dummy in dummies[2:]:
        result = torch.promote_types(result, torch.result_type(dummies[0], dummy))
    return dtype_of(result)


def operands(t: Translator, dtype: DType, *given: Any) -> list[Tensor]:
    """Tensors and numbers as tensors of one type."""
    return [t.scalar(x, dtype) for x in given]


def truth(t: Translator, x: Tensor) -> Tensor:
    """Whether elements are not zero, as booleans; NaN is not zero."""
    return x if x.dtype == DType.bool else t.cast(x, DType.bool)


def is_float(dtype: DType) -> bool:
    return dtype.kind == "float"


def _dummy(x: Any) -> Any:
    if isinstance(x, Tensor):
        return torch.empty((1,) if x.rank else (), dtype=torch_dtype(x.dtype))
    return x if isinstance(x, bool | int | float | complex) else 1  # a dim is an int
