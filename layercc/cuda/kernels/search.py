# mypy: ignore-errors
"""Where along the middle of [outer, n, inner] the largest or smallest element lies.

Of equal elements the first counts, or the last; NaN beats every number. A warp has a row, or
neighbouring columns.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, pointer

THREADS, WARP = 128, 32


@gpu_kernel_family(threads=THREADS)
def search(dtype: str, largest: bool, last: bool, rows: bool):
    """Indices as i64. With `rows` inner is 1, and a warp has a row; else a thread has a column.

    Blocks: ceil(outer * inner / columns), columns THREADS / WARP or THREADS. n > 0.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.cuda.warps import exchange
    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.helper import jit
    from layercc.kernels.math import SCALAR

    load_x, kind = load(dtype), compute_dtype(dtype)
    number = "i32" if kind == "bool" else kind
    scalar, int32 = SCALAR[number], SCALAR["i32"]
    swap, swap_place = exchange(number), exchange("i32")
    lanes = WARP if rows else 1
    columns = THREADS // lanes

    @jit
    def beats(b, at_b, a, at_a):
        """Whether element b goes before a, wherever the two lie."""
        both = b == a or (b != b and a != a)
        better = b > a if largest else b < a
        further = at_b > at_a if last else at_b < at_a
        return better or (b != b and a == a) or (both and further)

    @jit
    def joined(value, place, lane_mask):
        other, at = swap(value, lane_mask), swap_place(place, lane_mask)
        if beats(other, at, value, place):
            value, place = other, at
        return value, place

    def body(x: pointer(dtype), y: pointer("i64"), total: I32, n: I32, inner: I32):
        column = cuda.blockIdx.x * columns + cuda.threadIdx.x // lanes
        if column < total:
            start = quotient(column, inner) * n * inner + rest(column, inner)
            first = cuda.threadIdx.x % lanes
            place = int32(min(first, n - 1))  # lanes beyond a short row know an element of it, too
            best = scalar(load_x(x, start + place * inner))
            for k in range(first + lanes, n, lanes):
                value, at = scalar(load_x(x, start + k * inner)), int32(k)
                if beats(value, at, best, place):
                    best, place = value, at
            if rows:
                best, place = joined(best, place, 16)
                best, place = joined(best, place, 8)
                best, place = joined(best, place, 4)
                best, place = joined(best, place, 2)
                best, place = joined(best, place, 1)
            if first == 0:
                y[column] = place

    return body
