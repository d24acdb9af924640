"""Along axes: sums, extrema, statistics, running totals, order."""

from __future__ import annotations

import math
from typing import Any

from ir.dims import Dim, product
from ir.dtypes import DType
from layercc.frontends.torch.promotion import is_float, truth
from layercc.frontends.torch.registry import translates
from layercc.frontends.torch.reshaping import axes_of, axis_of, reshaped, squeezed, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator


def reduced(t: Translator, op: str, x: Tensor, dims: Any, keepdim: bool) -> Tensor:
    """A reduction of the IR along dims: one, a list, or None for all."""
    axes = axes_of(x, dims)
    if not x.rank:
        if op in ("ReduceL1", "ReduceL2"):
            return t.emit("Abs", x)
        return t.emit("Identity", x)
    return t.emit(op, x, t.ints(*axes), keepdims=int(keepdim))


@translates("sum", "sum.dim_IntList")
def sum_(
    t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    return reduced(t, "ReduceSum", t.cast(x, t.dtype), dim, keepdim)


@translates("mean", "mean.dim")
def mean(
    t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    return reduced(t, "ReduceMean", t.cast(x, t.dtype), dim, keepdim)


@translates("prod", "prod.dim_int")
def prod(
    t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Any:
    return reduced(t, "ReduceProd", t.cast(x, t.dtype), dim, keepdim)


@translates("amax")
def amax(t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return reduced(t, "ReduceMax", x, dim, keepdim)


@translates("amin")
def amin(t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    return reduced(t, "ReduceMin", x, dim, keepdim)


@translates("max")
def max_(t: Translator, x: Tensor) -> Tensor:
    return reduced(t, "ReduceMax", x, None, False)


@translates("min")
def min_(t: Translator, x: Tensor) -> Tensor:
    return reduced(t, "ReduceMin", x, None, False)


@translates("max.dim")
def max_dim(t: Translator, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return reduced(t, "ReduceMax", x, dim, keepdim), argmax(t, x, dim, keepdim)


@translates("min.dim")
def min_dim(t: Translator, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    return reduced(t, "ReduceMin", x, dim, keepdim), argmin(t, x, dim, keepdim)


@translates("argmax")
def argmax(t: Translator, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return _arg(t, "ArgMax", x, dim, keepdim)


@translates("argmin")
def argmin(t: Translator, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    return _arg(t, "ArgMin", x, dim, keepdim)


def _arg(t: Translator, op: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if x.dtype == DType.bool:
        x = t.cast(x, DType.u8)
    if dim is None or not x.rank:
        found = t.emit(op, reshaped(t, x, (x.type.size,)), axis=0, keepdims=0)
        return reshaped(t, found, [1] * x.rank) if keepdim else found
    return t.emit(op, x, axis=axis_of(x, dim), keepdims=int(keepdim))


@translates("any", "any.dim", "any.dims")
def any_(t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    found = reduced(t, "ReduceMax", t.cast(truth(t, x), DType.u8), dim, keepdim)
    return t.cast(found, t.dtype)


@translates("all", "all.dim", "all.dims")
def all_(t: Translator, x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    found = reduced(t, "ReduceMin", t.cast(truth(t, x), DType.u8), dim, keepdim)
    return t.cast(found, t.dtype)


@translates("count_nonzero", "count_nonzero.dim_IntList")
def count_nonzero(t: Translator, x: Tensor, dim: Any = None) -> Tensor:
    return reduced(t, "ReduceSum", t.cast(truth(t, x), DType.i64), dim, False)


@translates("var.correction")
def var(
    t: Translator, x: Tensor, dim: Any = None, correction: Any = None, keepdim: bool = False
) -> Tensor:
    return _variance(t, x, dim, correction, keepdim)[0]


@translates("std.correction")
def std(
    t: Translator, x: Tensor, dim: Any = None, correction: Any = None, keepdim: bool = False
) -> Tensor:
    return t.emit("Sqrt", _variance(t, x, dim, correction, keepdim)[0])


@translates("var_mean.correction")
def var_mean(
    t: Translator, x: Tensor, dim: Any = None, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    return _variance(t, x, dim, correction, keepdim)


@translates("std_mean.correction")
def std_mean(
    t: Translator, x: Tensor, dim: Any = None, correction: Any = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    variance, middle = _variance(t, x, dim, correction, keepdim)
    return t.emit("Sqrt", variance), middle


def _variance(
    t: Translator, x: Tensor, dim: Any, correction: Any, keepdim: bool
) -> tuple[Tensor, Tensor]:
    """Variance and mean; from the deviations, as their squares alone would lose digits."""
    axes = axes_of(x, dim)
    middle = reduced(t, "ReduceMean", x, axes, True)
    deviation = t.emit("Sub", x, middle)
    squares = reduced(t, "ReduceSum", t.emit("Mul", deviation, deviation), axes, keepdim)
    count: Dim = product(x.shape[axis] for axis in axes)
    by = 1 if correction is None else correction
    if isinstance(count, int):
        divisor = t.scalar(max(count - by, 0), x.dtype)
    else:
        free = t.emit("Sub", t.scalar(count, x.dtype), t.scalar(by, x.dtype))
        divisor = t.emit("Max", free, t.scalar(0, x.dtype))
    if not keepdim and x.rank:
        middle = squeezed(t, middle, *axes)
    return t.emit("Div", squares, divisor), middle


@translates("logsumexp")
def logsumexp(t: Translator, x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    return reduced(t, "ReduceLogSumExp", t.cast(x, t.dtype), dim, keepdim)


@translates("linalg_vector_norm")
def vector_norm(
    t: Translator,
    x: Tensor,
    ord: Any = 2,
    dim: Any = None,
    keepdim: bool = False,
    dtype: Any = None,
) -> Tensor:
    x = t.cast(x, t.dtype)
    if ord in (1, 2):
        return reduced(t, f"ReduceL{int(ord)}", x, dim, keepdim)
    if ord == 0:
        return reduced(t, "ReduceSum", t.cast(truth(t, x), x.dtype), dim, keepdim)
    sizes = t.emit("Abs", x)
    if math.isinf(ord):
        return reduced(t, "ReduceMax" if ord > 0 else "ReduceMin", sizes, dim, keepdim)
    powers = t.emit("Pow", sizes, t.scalar(ord, x.dtype))
    total = reduced(t, "ReduceSum", powers, dim, keepdim)
    return t.emit("Pow", total, t.scalar(1 / ord, x.dtype))


@translates("norm.ScalarOpt_dim", "norm.ScalarOpt_dim_dtype")
def norm_dim(
    t: Translator, x: Tensor, p: Any, dim: Any, keepdim: bool = False, dtype: Any = None
) -> Any:
    return vector_norm(t, x, 2 if p is None else p, dim, keepdim)


@translates("norm.Scalar", "norm.ScalarOpt_dtype")
def norm(t: Translator, x: Tensor, p: Any = 2, dtype: Any = None) -> Tensor:
    return vector_norm(t, x, 2 if p is None else p)


@translates("cumsum")
def cumsum(t: Translator, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    return _running(t, "CumSum", x, dim)


@translates("cumprod")
def cumprod(t: Translator, x: Tensor, dim: int, dtype: Any = None) -> Tensor:
    return _running(t, "CumProd", x, dim)


def _running(t: Translator, op: str, x: Tensor, dim: int) -> Tensor:
    x = t.cast(x, t.dtype)
    if not x.rank:
        return x
    return t.emit(op, x, t.scalar_i64(axis_of(x, dim)))


@translates("topk")
def topk(
    t: Translator, x: Tensor, k: Dim, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    if not x.rank:
        return x, t.scalar_i64(0)
    return t.emit(  # type: ignore[no-any-return]
        "TopK", x, t.sizes([k]), outputs=2, axis=axis_of(x, dim), largest=int(largest),
        sorted=1,
    )  # fmt: skip


@translates("sort")
def sort(
    t: Translator, x: Tensor, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    if not x.rank:
        return x, t.scalar_i64(0)
    flag = x.dtype == DType.bool
    keys = t.cast(x, DType.u8) if flag else x
    values, places = topk(t, keys, x.shape[axis_of(x, dim)], dim, descending)
    return (t.cast(values, x.dtype) if flag else values), places


@translates("sort.stable")
def sort_stable(
    t: Translator, x: Tensor, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    return sort(t, x, dim, descending)


@translates("median.dim")
def median(t: Translator, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower of two in the middle; NaN and its place, where there is one."""
    if not x.rank:
        return x, t.scalar_i64(0)
    axis = axis_of(x, dim)
    value, place = kthvalue(t, x, (x.shape[axis] + 1) // 2, dim, keepdim)
    if not is_float(x.dtype):
        return value, place
    is_nan = t.cast(t.emit("IsNaN", x), DType.i32)
    nan = t.emit("ArgMax", is_nan, axis=axis, keepdims=int(keepdim))
    found = t.emit("ReduceMax", is_nan, t.ints(axis), keepdims=int(keepdim))
    found = t.cast(found, DType.bool)
    value = t.emit("Where", found, t.scalar(float("nan"), x.dtype), value)
    return value, t.emit("Where", found, nan, place)


@translates("median")
def median_of_all(t: Translator, x: Tensor) -> Tensor:
    flat = x if x.rank == 1 else t.emit("Reshape", x, t.ints(-1))
    return median(t, flat, 0)[0]


@translates("nanmedian.dim")
def nanmedian(t: Translator, x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower of two in the middle of what is not NaN; NaN where all are."""
    if not x.rank or not is_float(x.dtype):
        return median(t, x, dim, keepdim)
    axis = axis_of(x, dim)
    is_number = t.cast(t.emit("Not", t.emit("IsNaN", x)), DType.i64)
    count = t.emit("ReduceSum", is_number, t.ints(axis), keepdims=1)
    before = t.emit("Div", t.emit("Sub", count, t.scalar_i64(1)), t.scalar_i64(2))  # 0 of none
    found = [t.emit("GatherElements", part, before, axis=axis) for part in sort(t, x, dim)]
    if not keepdim:
        found = [squeezed(t, part, axis) for part in found]
    return found[0], found[1]


@translates("nanmedian")
def nanmedian_of_all(t: Translator, x: Tensor) -> Tensor:
    flat = x if x.rank == 1 else t.emit("Reshape", x, t.ints(-1))
    return nanmedian(t, flat, 0)[0]


@translates("kthvalue")
def kthvalue(
    t: Translator, x: Tensor, k: Dim, dim: int = -1, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    if not x.rank:
        return x, t.scalar_i64(0)
    axis = axis_of(x, dim)
    ordered = topk(t, x, k, dim, largest=False)
    found = [t.emit("Gather", part, t.scalar_i64(-1), axis=axis) for part in ordered]
    if keepdim:
        found = [unsqueezed(t, part, axis) for part in found]
    return found[0], found[1]
