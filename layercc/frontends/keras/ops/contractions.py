"""Matrix products, attention, normalisation."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ir.dtypes import DType
from layercc.frontends.keras.registry import Refused, translates_op
from layercc.layers import emit
from layercc.layers.layer import cast
from layercc.layers.masking import zero
from layercc.layers.tensor import ints


@translates_op("numpy.Matmul")
def matmul(c: Any, x1: Any, x2: Any) -> Any:
    return emit("MatMul", c.tensor(x1, c.dtype), c.tensor(x2, c.dtype))


@translates_op("numpy.Dot")
def dot(c: Any, x1: Any, x2: Any) -> Any:
    a, b = c.tensor(x1, c.dtype), c.tensor(x2, c.dtype)
    if not a.rank or not b.rank:
        return a * b
    if b.rank <= 2:
        return emit("MatMul", a, b)
    return tensordot_of(a, b, [a.rank - 1], [b.rank - 2])


@translates_op("numpy.Tensordot")
def tensordot(c: Any, x1: Any, x2: Any) -> Any:
    a, b = c.tensor(x1, c.dtype), c.tensor(x2, c.dtype)
    axes = c.op.axes
    if isinstance(axes, int):
        return tensordot_of(a, b, range(a.rank - axes, a.rank), range(axes))
    left, right = ([side] if isinstance(side, int) else list(side) for side in axes)
    return tensordot_of(a, b, left, right)


def tensordot_of(a: Any, b: Any, left: Any, right: Any) -> Any:
    """The sum over pairs of axes, as an Einsum."""
    first = [chr(ord("a") + i) for i in range(a.rank)]
    second = [chr(ord("A") + i) for i in range(b.rank)]
    pairs = [(i % a.rank, j % b.rank) for i, j in zip(left, right, strict=True)]
    for i, j in pairs:
        second[j] = first[i]
    kept = [x for i, x in enumerate(first) if i not in {p for p, _ in pairs}]
    kept += [x for j, x in enumerate(second) if j not in {q for _, q in pairs}]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(kept)}"
    return emit("Einsum", a, b, equation=equation)


@translates_op("numpy.Einsum")
def einsum(c: Any, *operands: Any) -> Any:
    return emit(
        "Einsum",
        *(c.tensor(x, c.dtype) for x in operands),
        equation=c.op.subscripts.replace(" ", ""),
    )


@translates_op("numpy.Outer")
def outer(c: Any, x1: Any, x2: Any) -> Any:
    a = emit("Reshape", c.tensor(x1, c.dtype), ints(-1, 1))
    return a * emit("Reshape", c.tensor(x2, c.dtype), ints(1, -1))


@translates_op("nn.DotProductAttention")
def dot_product_attention(
    c: Any, query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: Any = None
) -> Any:
    """`[batch, positions, heads, features]`; a query that may see no key has the mean of values."""
    q, k, v = (c.tensor(x, c.dtype) for x in (query, key, value))
    if getattr(c.op, "attn_logits_soft_cap", None) is not None:
        raise Refused("attn_logits_soft_cap")
    causal = c.op.is_causal
    extra = None
    if mask is not None:
        kept = cast(c.tensor(mask), DType.bool)
        if causal:
            sizes = [emit("Shape", x, start=1, end=2) for x in (q, k)]
            ones = emit("Expand", np.ones(1, bool), emit("Concat", *sizes, axis=0))
            kept, causal = emit("And", kept, emit("Trilu", ones, upper=0)), False
        low = -0.7 * (65500.0 if q.dtype is DType.f16 else 3.38953e38)
        extra = emit("Where", kept, zero(q), np.asarray(low, q.dtype.value))
    if bias is not None:
        extra = c.tensor(bias, c.dtype) if extra is None else extra + c.tensor(bias, c.dtype)
    q, k, v = (emit("Transpose", x, perm=(0, 2, 1, 3)) for x in (q, k, v))
    y = emit(
        "Attention",
        q,
        k,
        v,
        *([] if extra is None else [extra]),
        scale=None if scale is None else float(scale),
        is_causal=1 if causal else None,
    )
    return emit("Transpose", y, perm=(0, 2, 1, 3))


@translates_op("nn.BatchNorm")
def batch_norm(
    c: Any, x: Any, mean: Any, variance: Any, offset: Any = None, scale: Any = None
) -> Any:
    x = c.tensor(x, c.dtype)
    axis = c.op.axis % x.rank
    spread = ints(*(-1 if i == axis else 1 for i in range(x.rank)))

    def part(y: Any) -> Any:
        return emit("Reshape", c.tensor(y, x.dtype), spread)

    y = (x - part(mean)) / emit("Sqrt", part(variance) + c.op.epsilon)
    y = y if scale is None else y * part(scale)
    return y if offset is None else y + part(offset)


@translates_op("nn.LayerNorm", "nn.RMSNorm")
def normalization(c: Any, x: Any, gamma: Any = None, beta: Any = None, scale: Any = None) -> Any:
    x = c.tensor(x, c.dtype)
    axis = c.op.axis
    axes = ints(*([axis] if isinstance(axis, int) else axis))
    if getattr(c.op, "rms_scaling", False):
        raise Refused("rms_scaling")
    epsilon = keras.config.epsilon() if c.op.epsilon is None else c.op.epsilon
    if type(c.op).__name__ == "LayerNorm":
        x = x - emit("ReduceMean", x, axes, keepdims=1)
    y = x / emit("Sqrt", emit("ReduceMean", x * x, axes, keepdims=1) + epsilon)
    gamma = scale if gamma is None else gamma
    y = y if gamma is None else y * c.tensor(gamma, c.dtype)
    return y if beta is None else y + c.tensor(beta, c.dtype)
