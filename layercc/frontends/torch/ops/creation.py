"""Tensors from nothing but a shape and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ir.dims import Dim
from ir.dtypes import DType
from layercc.frontends.torch.registry import Refused, enter, translates
from layercc.frontends.torch.reshaping import expanded
from layercc.frontends.torch.tensors import as_array, torch_dtype
from layercc.frontends.torch.translator import Tensor, Translator, number


def _filled(t: Translator, value: Any) -> Tensor:
    """A tensor of the result's type that holds one number."""
    if isinstance(value, bool | int | float | complex):
        array = number(value, t.dtype).reshape(1)
        return t.emit("ConstantOfShape", t.sizes(t.shape), value=array)
    return expanded(t, t.scalar(value, t.dtype), t.shape)


@translates("full", "full_like", "new_full")
def full(t: Translator, like: Any, *given: Any, **options: Any) -> Tensor:
    value = options.get("fill_value", given[-1] if given else 0)
    return _filled(t, value)


def _constant(value: int) -> Any:
    return lambda t, *given, **options: _filled(t, value)


for _name, _value in {"zeros": 0, "ones": 1, "empty": 0}.items():
    enter(f"{_name}.memory_format" if _name == "empty" else _name, _constant(_value))
    enter(f"{_name}_like", _constant(_value))
    enter(f"new_{_name}", _constant(_value))
enter("empty_strided", _constant(0))
enter("new_empty_strided", _constant(0))
enter("empty_permuted", _constant(0))


@translates("scalar_tensor")
def scalar_tensor(t: Translator, value: Any, dtype: Any = None) -> Tensor:
    return t.scalar(value, t.dtype)


@translates("arange", "arange.start", "arange.start_step")
def arange(t: Translator, *limits: Any, dtype: Any = None) -> Tensor:
    start, end, step = {1: (0, *limits, 1), 2: (*limits, 1), 3: limits}[len(limits)]
    values = (start, end, step)
    if all(isinstance(value, int | float) for value in values):
        made = torch.arange(start, end, step, dtype=torch_dtype(t.dtype))
        return t.constant(as_array(made), "range")
    if any(isinstance(value, float | Tensor) for value in values):
        raise Refused("a range between sizes that are no integers")
    found = t.emit("Range", *(t.scalar_i64(value) for value in values))
    return t.cast(found, t.dtype)


@translates("linspace")
def linspace(t: Translator, start: Any, end: Any, steps: Dim, dtype: Any = None) -> Tensor:
    if not all(isinstance(value, int | float) for value in (start, end, steps)):
        raise Refused("with dynamic limits")
    return t.constant(as_array(torch.linspace(start, end, steps, dtype=torch_dtype(t.dtype))))  # type: ignore[arg-type]


@translates("eye", "eye.m")
def eye(t: Translator, n: Dim, m: Dim | None = None, dtype: Any = None) -> Tensor:
    columns = n if m is None else m
    if isinstance(n, int) and isinstance(columns, int):
        return t.constant(np.eye(n, columns, dtype=t.dtype.value))
    zeros = t.emit("ConstantOfShape", t.sizes(t.shape), value=number(0, DType.f32).reshape(1))
    return t.emit("EyeLike", zeros, dtype=t.dtype.onnx)


@translates("tril_indices", "triu_indices")
def triangle(t: Translator, *given: Any, **options: Any) -> Tensor:
    raise Refused("as part of the forward; indices that are a buffer would fit")


def _random(t: Translator, *given: Any, **options: Any) -> Sequence[Tensor]:
    raise Refused("random numbers; numbers that are an input would fit")


for _name in (
    "rand", "randn", "rand_like", "randn_like", "randint", "randint.low", "randint_like",
    "randint_like.low_dtype", "bernoulli", "bernoulli.p", "multinomial", "randperm",
    "normal_functional", "uniform", "exponential", "normal.float_float",
):  # fmt: skip
    enter(_name, _random)
