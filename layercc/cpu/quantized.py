"""Products of quantised matrices inside kernels.

With A = a_scale (a - a_zero) and B = b_scale (b - b_zero), where a_scale and a_zero are of a whole
matrix, b_scale and b_zero of a column,

    A B = a_scale b_scale (Σ a b - b_zero Σ a - a_zero Σ (b - b_zero))

The integer sums are exact. Importing this module imports Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from layercc.cpu.strided import row_of, strided
from layercc.kernels.declaration import record
from layercc.kernels.helper import jit

#: A product, before scales and zero points: `sums` are Σ a b, `totals` the Σ a of each row;
#: `scale` and `zero` are those of A, a number each for all rows; the others are of B, a row each:
#: scales, zero points, and Σ (b - b_zero).
PRODUCT = record(
    "Product",
    sums=strided("i32"),
    totals=strided("i32"),
    scale=strided("f32"),
    zero=strided("i32"),
    b_scale=strided("f32"),
    b_zero=strided("i32"),
    b_sums=strided("i32"),
)

_f32, _i32 = np.float32, np.int32


@jit
def product_row(product: Any, outer: Any, inner: Any, row: Any) -> Any:
    """A row of a product, for `real`."""
    return (
        row_of(product.sums, outer, inner, row),
        row_of(product.totals, outer, inner, row)[0],
        row_of(product.scale, outer, inner, row)[0],
        row_of(product.zero, outer, inner, row)[0],
        row_of(product.b_scale, outer, inner, row),
        row_of(product.b_zero, outer, inner, row),
        row_of(product.b_sums, outer, inner, row),
    )


@jit(contract=False)
def real(row: Any, j: Any) -> Any:
    """Element j of a row of a product. No product of scales is fused into what follows: the
    roundings are onnxruntime's, and decide how what follows is quantised in its turn."""
    sums, total, scale, zero, b_scale, b_zero, b_sums = row
    exact = _i32(sums[j] - _i32(b_zero[j] * total) - _i32(zero * b_sums[j]))
    return _f32(exact) * (scale * b_scale[j])
