"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from layercc.frontends.torch.registry import Refused, translates
from layercc.frontends.torch.reshaping import reshaped, transposed, unsqueezed
from layercc.frontends.torch.translator import Tensor, Translator


@translates("linear")
def linear(t: Translator, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`."""
    if x.rank == 2 and weight.rank == 2:
        return t.emit("Gemm", x, weight, bias, transB=1)
    if weight.rank == 2:
        weight = transposed(t, weight, [1, 0])
    product = t.emit("MatMul", x, weight)
    return product if bias is None else t.emit("Add", product, bias)


@translates("addmm")
def addmm(
    t: Translator, bias: Tensor, a: Tensor, b: Tensor, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    if a.dtype.kind == "float":
        return t.emit("Gemm", a, b, bias, alpha=float(alpha), beta=float(beta))
    return _added(t, bias, t.emit("MatMul", a, b), beta, alpha)


@translates("baddbmm", "addbmm", "addmv")
def baddbmm(
    t: Translator, bias: Tensor, a: Tensor, b: Tensor, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    product = t.emit("MatMul", a, b)
    if product.rank > len(t.shape):  # addbmm sums over the batch
        product = t.emit("ReduceSum", product, t.ints(0), keepdims=0)
    return _added(t, bias, product, beta, alpha)


def _added(t: Translator, bias: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if alpha != 1:
        product = t.emit("Mul", product, t.scalar(alpha, product.dtype))
    if beta == 0:
        return product
    if beta != 1:
        bias = t.emit("Mul", bias, t.scalar(beta, bias.dtype))
    return t.emit("Add", bias, product)


@translates("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_matmul")
def matmul(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    return t.emit("MatMul", a, b)


@translates("outer", "ger")
def outer(t: Translator, a: Tensor, b: Tensor) -> Tensor:
    return t.emit("Mul", unsqueezed(t, t.cast(a, t.dtype), 1), t.cast(b, t.dtype))


@translates("einsum")
def einsum(t: Translator, equation: str, tensors: Sequence[Tensor], path: Any = None) -> Tensor:
    return t.emit("Einsum", *tensors, equation=equation.replace(" ", ""))


@translates("bilinear")
def bilinear(
    t: Translator, a: Tensor, b: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """`sum_ij a_i weight_oij b_j + bias_o`."""
    rows = a.type.size // a.shape[-1] if a.shape[-1] != 0 else 0
    flat = [reshaped(t, x, (rows, x.shape[-1])) for x in (a, b)]
    product = t.emit("Einsum", flat[0], weight, flat[1], equation="ni,oij,nj->no")
    product = reshaped(t, product, t.shape)
    return product if bias is None else t.emit("Add", product, bias)


@translates("_cdist_forward")
def cdist(t: Translator, a: Tensor, b: Tensor, p: float, mode: Any = None) -> Tensor:
    from layercc.frontends.torch.ops.reductions import vector_norm

    ways = t.emit("Sub", unsqueezed(t, a, a.rank - 1), unsqueezed(t, b, b.rank - 2))
    return vector_norm(t, ways, p, -1)


@translates("_pdist_forward")
def pdist(t: Translator, x: Tensor, p: float = 2) -> Tensor:
    """Distances of each row to those after it."""
    from layercc.frontends.torch.ops.reductions import vector_norm

    if not isinstance(x.shape[0], int):
        raise Refused("of a dynamic number of rows; torch.cdist would fit")
    rows = np.triu_indices(x.shape[0], 1)
    ends = [t.emit("Gather", x, t.constant(row.astype(np.int64)), axis=0) for row in rows]
    return vector_norm(t, t.emit("Sub", *ends), p, -1)
