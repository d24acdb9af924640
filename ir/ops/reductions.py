"""Ops that combine the elements along axes: sums, norms, softmax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ir.dims import Dim, product
from ir.ops.layout import widened
from ir.ops.searching import reduced_shape
from ir.ops.shapes import known_axes, vector_length
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType


class Reduction(Op):
    """Base: reduces `axes` (all by default, none with `noop_with_empty_axes`) by `combine`.

    Floats are combined in float64 and rounded once.
    """

    axes = "reduction"
    inputs = ("data: T", "axes: i64?")
    outputs = ("reduced: T",)
    constraints = {"T": "numeric"}
    attributes = {"keepdims": Attr("int", 1), "noop_with_empty_axes": Attr("int", 0)}
    combine: ClassVar[Callable[..., Any]]  # (array, axis=, keepdims=)
    #: Whether an empty set of elements has a result.
    has_identity: ClassVar[bool] = True
    flops_per_element: ClassVar[int] = 1

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        kind = call.type(0)
        if call.has(1) and call.value(1) is None and call.shape(1) != (0,):
            rank = kind.rank if call.keepdims else kind.rank - vector_length(call, 1)
            return [kind.with_shape(call.fresh_dim("reduced") for _ in range(rank))]
        axes = reduction_axes(call, kind.rank)
        return [kind.with_shape(reduced_shape(kind.shape, axes, bool(call.keepdims)))]

    @classmethod
    def reference(cls, call: Call, x: np.ndarray, axes: Any = None) -> np.ndarray:  # type: ignore[override]
        chosen = tuple(reduction_axes(call, x.ndim))
        empty = any(x.shape[axis] == 0 for axis in chosen)
        if empty and not cls.has_identity:
            return cls.of_nothing(x, reduced_shape(x.shape, chosen, bool(call.keepdims)))
        made = cls.combine(widened(x), axis=chosen, keepdims=bool(call.keepdims))
        return made if x.dtype == object else np.asarray(made).astype(x.dtype)

    @classmethod
    def of_nothing(cls, x: np.ndarray, shape: Sequence[Any]) -> np.ndarray:
        raise ValueError(f"{cls.name} of no elements")

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.shape(0)) * cls.flops_per_element


def reduction_axes(call: Call, rank: int) -> list[int]:
    """Non-negative axes to reduce, from input 1."""
    axes = known_axes(call, 1, rank) if call.has(1) and call.shape(1) != (0,) else []
    if axes or call.noop_with_empty_axes:
        return axes
    return list(range(rank))


def _limit(dtype: np.dtype, largest: bool) -> Any:
    if dtype.kind == "b":
        return largest
    if dtype.kind in "iu":
        return np.iinfo(dtype).max if largest else np.iinfo(dtype).min
    return np.inf if largest else -np.inf


def _log_sum_exp(x: np.ndarray, axis: tuple[int, ...], keepdims: bool) -> np.ndarray:
    """Shifted by the maximum, so that nothing overflows."""
    x = x.astype(np.float64)
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


@register
class ReduceSum(Reduction):
    """Sum."""

    symbolic = True
    combine = staticmethod(np.sum)


@register
class ReduceProd(Reduction):
    """Product."""

    symbolic = True
    combine = staticmethod(np.prod)


@register
class ReduceMean(Reduction):
    """Arithmetic mean; NaN of no elements."""

    combine = staticmethod(np.mean)


@register
class ReduceMax(Reduction):
    """Largest element; NaN if there is one; the lowest value of the type if there is none."""

    constraints = {"T": "ordered"}
    combine = staticmethod(np.max)
    has_identity = False

    @classmethod
    def of_nothing(cls, x: np.ndarray, shape: Sequence[Any]) -> np.ndarray:
        return np.full(shape, _limit(x.dtype, largest=False)).astype(x.dtype)


@register
class ReduceMin(Reduction):
    """Smallest element; NaN if there is one; the highest value of the type if there is none."""

    constraints = {"T": "ordered"}
    combine = staticmethod(np.min)
    has_identity = False

    @classmethod
    def of_nothing(cls, x: np.ndarray, shape: Sequence[Any]) -> np.ndarray:
        return np.full(shape, _limit(x.dtype, largest=True)).astype(x.dtype)


@register
class ReduceL1(Reduction):
    """Sum of absolute values."""

    combine = staticmethod(lambda x, **where: np.sum(np.abs(x), **where))
    flops_per_element = 2


@register
class ReduceL2(Reduction):
    """Square root of the sum of squares, which is taken in float64 for integers too."""

    combine = staticmethod(
        lambda x, **where: np.sqrt(np.sum(np.square(x, dtype=np.float64), **where))
    )
    flops_per_element = 2


@register
class ReduceSumSquare(Reduction):
    """Sum of squares."""

    combine = staticmethod(lambda x, **where: np.sum(np.square(x), **where))
    flops_per_element = 2


@register
class ReduceLogSum(Reduction):
    """Logarithm of the sum."""

    combine = staticmethod(lambda x, **where: np.log(np.sum(x, **where)))


@register
class ReduceLogSumExp(Reduction):
    """Logarithm of the sum of exponentials."""

    combine = staticmethod(_log_sum_exp)
    flops_per_element = 12


class _AlongAxis(Op):
    """Base of ops that normalise along one axis and keep the shape."""

    axes = "attribute"
    inputs = ("input: T",)
    outputs = ("output: T",)
    constraints = {"T": "float"}
    attributes = {"axis": Attr("int", -1)}
    flops_per_element: ClassVar[int] = 15

    @staticmethod
    def compute(x: np.ndarray, call: Call) -> np.ndarray:
        raise NotImplementedError

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        call.axis_of(call.axis, max(call.rank(0), 1))
        return [call.type(0)]

    @classmethod
    def reference(cls, call: Call, x: np.ndarray) -> np.ndarray:  # type: ignore[override]
        if x.size == 0:
            return x
        return cls.compute(np.atleast_1d(widened(x)), call).reshape(x.shape).astype(x.dtype)

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        return product(call.shape(0)) * cls.flops_per_element


@register
class Softmax(_AlongAxis):
    """exp(x) / sum(exp(x)) along an axis, shifted by the maximum."""

    @staticmethod
    def compute(x: np.ndarray, call: Call) -> np.ndarray:
        powers = np.exp(x - x.max(axis=call.axis, keepdims=True))
        return powers / powers.sum(axis=call.axis, keepdims=True)


@register
class LogSoftmax(_AlongAxis):
    """Logarithm of softmax, without the loss of small probabilities."""

    @staticmethod
    def compute(x: np.ndarray, call: Call) -> np.ndarray:
        shifted = x - x.max(axis=call.axis, keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=call.axis, keepdims=True))


@register
class Hardmax(_AlongAxis):
    """1 at the first largest element along an axis, 0 elsewhere."""

    flops_per_element = 1

    @staticmethod
    def compute(x: np.ndarray, call: Call) -> np.ndarray:
        made = np.zeros_like(x)
        best = np.expand_dims(x.argmax(axis=call.axis), call.axis)
        np.put_along_axis(made, best, 1, axis=call.axis)
        return made


@register
class LpNormalization(_AlongAxis):
    """Divides by the 1- or 2-norm along an axis; zeros stay zero."""

    attributes = {"axis": Attr("int", -1), "p": Attr("int", 2)}
    flops_per_element = 3

    @staticmethod
    def compute(x: np.ndarray, call: Call) -> np.ndarray:
        if call.p not in (1, 2):
            call.fail(f"p is {call.p}; 1 or 2 would fit", "bad-attribute")
        norm = np.linalg.norm(x, ord=call.p, axis=call.axis, keepdims=True)
        return np.where(norm == 0, 0, x / norm)


@register
class MeanVarianceNormalization(Op):
    """Subtracts the mean over `axes` and divides by the standard deviation."""

    inputs = ("X: T",)
    constraints = {"T": "float"}
    attributes = {"axes": Attr("ints", (0, 2, 3))}

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        for axis in call.axes:
            call.axis_of(axis, call.rank(0))
        return [call.type(0)]

    @staticmethod
    def reference(call: Call, x: np.ndarray) -> np.ndarray:
        wide, axes = widened(x), tuple(call.axes)
        centred = wide - wide.mean(axis=axes, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=axes, keepdims=True))
        return (centred / (deviation + 1e-9)).astype(x.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return product(call.shape(0)) * 5
