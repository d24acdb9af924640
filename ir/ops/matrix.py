"""Matrix products: MatMul, Gemm and their integer and quantised forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from ir.broadcasting import broadcast_shapes
from ir.dims import Dim, may_equal, product
from ir.dtypes import DType
from ir.ops.layout import widened
from ir.registry import Attr, Call, Op, register
from ir.types import TensorType, format_shape


def matmul_shape(
    call: Call, a: int = 0, b: int = 1, *, transpose_a: bool = False, transpose_b: bool = False
) -> tuple[Dim, ...]:
    """Shape of NumPy's `A @ B`; a transposed operand swaps its last two dims."""
    left, right = list(call.shape(a)), list(call.shape(b))
    if not left or not right:
        call.fail(f"{_operands(call, a, b)}: a scalar has no inner dim; rank 1 or more would fit")
    if transpose_a and len(left) > 1:
        left[-2:] = left[:-3:-1]
    if transpose_b and len(right) > 1:
        right[-2:] = right[:-3:-1]
    inner = right[-2] if len(right) > 1 else right[0]
    if not may_equal(left[-1], inner):
        call.fail(_inner_mismatch(call, a, b, left, right, transpose_a, transpose_b))
    batch = broadcast_shapes(call, left[:-2], right[:-2])
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else []
    return (*batch, *rows, *columns)


def _operands(call: Call, a: int, b: int) -> str:
    names = call.op.input_name(a), call.op.input_name(b)
    return f"{names[0]} is {call.type(a)} and {names[1]} is {call.type(b)}"


def _inner_mismatch(
    call: Call,
    a: int,
    b: int,
    left: Sequence[Dim],
    right: Sequence[Dim],
    transpose_a: bool,
    transpose_b: bool,
) -> str:
    have, want = left[-1], right[-2] if len(right) > 1 else right[0]
    names = call.op.input_name(a), call.op.input_name(b)
    fit_a: list[Dim] = [*left[:-1], want]
    fit_b: list[Dim] = [*right[:-2], have, *right[-1:]] if len(right) > 1 else [have]
    if transpose_a and len(fit_a) > 1:
        fit_a[-2:] = fit_a[:-3:-1]
    if transpose_b and len(fit_b) > 1:
        fit_b[-2:] = fit_b[:-3:-1]
    swapped = [n for n, t in zip(names, (transpose_a, transpose_b), strict=True) if t]
    after = f" after {' and '.join(swapped)} is transposed" if swapped else ""
    return (
        f"{_operands(call, a, b)}: inner dims must be equal{after}, but are {have} and {want}; "
        f"{names[0]} {format_shape(fit_a)} or {names[1]} {format_shape(fit_b)} would fit"
        + _flatten_hint(names[0], have, want)
    )


def _flatten_hint(name: str, have: Dim, want: Dim) -> str:
    """Says so when the sizes look like one feature map, flattened, at two image sizes."""
    if not (isinstance(have, int) and isinstance(want, int) and have > 0 and want > 0):
        return ""
    ratio = Fraction(have, want)
    sides = math.isqrt(ratio.numerator), math.isqrt(ratio.denominator)
    exact = sides[0] ** 2 == ratio.numerator and sides[1] ** 2 == ratio.denominator
    if not exact or math.gcd(have, want) < 4:
        return ""
    return (
        f". If {name} is a flattened feature map, its sides are {sides[0]}/{sides[1]} of those that"
        " the weight was made for: check the size of the images"
    )


class MatrixProduct(Op):
    """Base of products that follow NumPy's `matmul`; `operands` are the inputs multiplied."""

    operands = (0, 1)
    result_dtype: int | DType = 0

    @classmethod
    def transposed(cls, call: Call) -> tuple[bool, bool]:
        """Whether A and B are transposed first."""
        return False, False

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        kind = cls.result_dtype
        dtype = kind if isinstance(kind, DType) else call.dtype(kind)
        over_a, over_b = cls.transposed(call)
        shape = matmul_shape(call, *cls.operands, transpose_a=over_a, transpose_b=over_b)
        return [TensorType(dtype, shape)]

    @classmethod
    def flops(cls, call: Call) -> Dim:  # type: ignore[override]
        shape = call.shape(cls.operands[0])
        over_a = cls.transposed(call)[0] and len(shape) > 1
        return 2 * product(call.outputs[0].shape) * (shape[-2] if over_a else shape[-1])


@register
class MatMul(MatrixProduct):
    """NumPy's `matmul`: batches broadcast; vectors are rows on the left, columns on the right."""

    contraction = True
    epilogue = True
    weighted = True
    inputs = ("A: T", "B: T")
    constraints = {"T": "numeric"}

    @staticmethod
    def reference(call: Call, a: Any, b: Any) -> np.ndarray:
        return np.asarray(np.matmul(widened(a), widened(b))).astype(a.dtype)


@register
class FusedMatMul(MatrixProduct):
    """onnxruntime's `alpha * A' @ B'`, with the last two dims of A and B transposed if asked."""

    name = "com.microsoft.FusedMatMul"
    inputs = ("A: T", "B: T")
    constraints = {"T": "float"}
    attributes = {
        "alpha": Attr("float", 1.0),
        "transA": Attr("int", 0),
        "transB": Attr("int", 0),
        "transBatchA": Attr("int", 0),
        "transBatchB": Attr("int", 0),
    }

    @classmethod
    def transposed(cls, call: Call) -> tuple[bool, bool]:
        if call.transBatchA or call.transBatchB:
            call.fail("transBatchA and transBatchB must be 0", "unsupported-attribute")
        return bool(call.transA), bool(call.transB)

    @staticmethod
    def reference(call: Call, a: Any, b: Any) -> np.ndarray:
        left, right = widened(a), widened(b)
        if call.transA and left.ndim > 1:
            left = np.swapaxes(left, -1, -2)
        if call.transB and right.ndim > 1:
            right = np.swapaxes(right, -1, -2)
        return np.asarray(call.alpha * (left @ right)).astype(a.dtype)


@register
class Gemm(Op):
    """`alpha * A' @ B' + beta * C`, with A and B transposed if asked and C broadcast to [M, N].

    Integers wrap around. Where alpha or beta is no whole number, their products and sums are taken
    in float64 and truncated.
    """

    weighted = True
    inputs = ("A: T", "B: T", "C: T?")
    constraints = {"T": "numeric"}
    attributes = {
        "alpha": Attr("float", 1.0),
        "beta": Attr("float", 1.0),
        "transA": Attr("int", 0),
        "transB": Attr("int", 0),
    }

    @staticmethod
    def infer(call: Call) -> Sequence[TensorType]:
        if call.rank(0) != 2 or call.rank(1) != 2:
            call.fail(f"{_operands(call, 0, 1)}; two matrices would fit")
        shape = matmul_shape(call, transpose_a=bool(call.transA), transpose_b=bool(call.transB))
        if call.has(2):
            bias = call.shape(2)
            fits = len(bias) <= 2 and all(
                dim == 1 or may_equal(dim, out)
                for dim, out in zip(reversed(bias), reversed(shape), strict=False)
            )
            if not fits:
                call.fail(
                    f"{_operands(call, 0, 1)}, their product is {format_shape(shape)}: C is "
                    f"{call.type(2)}, but [{shape[1]}] or {format_shape(shape)} would fit"
                )
        return [call.type(0).with_shape(shape)]

    @staticmethod
    def reference(call: Call, a: Any, b: Any, c: Any = None) -> np.ndarray:
        left = widened(a).T if call.transA else widened(a)
        right = widened(b).T if call.transB else widened(b)
        y = left @ right
        c = None if c is None else widened(c)
        if in_floats(call.dtype(0), call.alpha, call.beta):
            y, c = y.astype(np.float64), c if c is None else c.astype(np.float64)
        if call.alpha != 1:
            y = y * scalar_of(y.dtype, call.alpha)
        if c is not None:
            y = y + (c if call.beta == 1 else c * scalar_of(c.dtype, call.beta))
        return y.astype(a.dtype)

    @staticmethod
    def flops(call: Call) -> Dim:
        return 2 * product(call.outputs[0].shape) * call.shape(0)[0 if call.transA else 1]


def in_floats(dtype: DType, alpha: float, beta: float) -> bool:
    """Whether a Gemm of integers has factors that only floats can hold."""
    whole = float(alpha).is_integer() and float(beta).is_integer()
    return dtype.value.kind in "iu" and not whole


def scalar_of(dtype: np.dtype, factor: float) -> np.ndarray:
    """A factor in an element type; the low bits of a whole number in that of an integer."""
    if dtype.kind not in "iu":
        return np.array(factor, dtype)
    return np.array(int(factor) % 2 ** (8 * dtype.itemsize), np.uint64).astype(dtype)


@register
class MatMulInteger(MatrixProduct):
    """Product of 8-bit integers less their zero points (one, or one a row of A or column of B)."""

    inputs = ("A: T1", "B: T2", "a_zero_point: T1?", "b_zero_point: T2?")
    outputs = ("Y: i32",)
    constraints = {"T1": "byte", "T2": "byte"}
    result_dtype = DType.i32

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        _check_parameter(call, 2, of=0)
        _check_parameter(call, 3, of=1)
        return super().infer(call)

    @staticmethod
    def reference(
        call: Call, a: Any, b: Any, a_zero_point: Any = None, b_zero_point: Any = None
    ) -> np.ndarray:
        left = a.astype(np.float64) - _along_rows(a_zero_point, a.ndim)
        right = b.astype(np.float64) - _along_columns(b_zero_point)
        return np.asarray(left @ right).astype(np.int64).astype(np.int32)


@register
class QLinearMatMul(MatrixProduct):
    """Product of quantised tensors, requantised; one scale, or one a row of a or column of b."""

    inputs = (
        "a: T1",
        "a_scale: TS",
        "a_zero_point: T1",
        "b: T2",
        "b_scale: TS",
        "b_zero_point: T2",
        "y_scale: TS",
        "y_zero_point: T3",
    )
    outputs = ("y: T3",)
    constraints = {"T1": "quantized", "T2": "quantized", "T3": "quantized", "TS": "float"}
    operands = (0, 3)
    result_dtype = 7

    @classmethod
    def infer(cls, call: Call) -> Sequence[TensorType]:  # type: ignore[override]
        for index in (1, 2):
            _check_parameter(call, index, of=0)
        for index in (4, 5):
            _check_parameter(call, index, of=3)
        for index in (6, 7):
            _check_parameter(call, index)
        return super().infer(call)

    @staticmethod
    def reference(
        call: Call,
        a: Any,
        a_scale: Any,
        a_zero_point: Any,
        b: Any,
        b_scale: Any,
        b_zero_point: Any,
        y_scale: Any,
        y_zero_point: Any,
    ) -> np.ndarray:
        left = a.astype(np.float64) - _along_rows(a_zero_point, a.ndim)
        right = b.astype(np.float64) - _along_columns(b_zero_point)
        real = (left * _along_rows(a_scale, a.ndim)) @ (right * _along_columns(b_scale))
        return requantized(np.asarray(real), y_scale, y_zero_point)


def _check_parameter(call: Call, index: int, of: int | None = None) -> None:
    """Fails unless a quantisation parameter has one element, or one a row of A or column of B."""
    if not call.has(index) or may_equal(product(call.shape(index)), 1):
        return
    fits, wanted = False, "one element"
    if of is not None:
        shape, operand = call.shape(index), call.shape(of)
        kept, summed = (-2, -1) if of == 0 else (-1, -2)
        if len(operand) > 1:
            wanted += f", or [{operand[kept]}],"
            if len(shape) == 1:
                fits = may_equal(shape[0], operand[kept])
            else:
                fits = len(shape) == len(operand) and may_equal(shape[summed], 1)
                fits = fits and all(
                    may_equal(dim, 1) or may_equal(dim, size)
                    for dim, size in zip(shape, operand, strict=True)
                )
    if not fits:
        call.fail(f"{call.op.input_name(index)} is {call.type(index)}; {wanted} would fit")


def _along_rows(parameter: Any, rank: int) -> np.ndarray:
    """A quantisation parameter of A: a scalar, one a row, or already shaped to broadcast."""
    array = np.asarray(0 if parameter is None else parameter).astype(np.float64)
    if array.ndim == 1 and array.size > 1 and rank > 1:
        return array[:, None]
    return array.reshape(()) if array.size == 1 else array


def _along_columns(parameter: Any) -> np.ndarray:
    array = np.asarray(0 if parameter is None else parameter).astype(np.float64)
    return array.reshape(()) if array.size == 1 else array


def requantized(real: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """Real values in the 8-bit type of `zero_point`: integers are rounded half to even; all types
    saturate."""
    levels = real / scale.astype(np.float64)
    dtype = zero_point.dtype
    if dtype.kind in "iu":
        levels = np.rint(levels)
        limits: Any = np.iinfo(dtype)
    else:
        limits = ml_dtypes.finfo(dtype)
    levels = levels + zero_point.astype(np.float64)
    return np.clip(levels, float(limits.min), float(limits.max)).astype(dtype)
