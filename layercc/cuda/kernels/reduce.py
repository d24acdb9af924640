# mypy: ignore-errors
"""Reductions of [outer, reduced, inner] over the middle dim.

    y[o, i] = post( combine_r pre(x[o, r, i], shift[o, i]), count, shift[o, i] )

`pre` and `post` are expressions (`layercc.kernels.expressions`), `combine` is sum, product, minimum
or maximum. Which thread combines what, and how their totals are put together, depends on `reduced`
alone. Bound by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import F64, I32, optional, pointer
from layercc.kernels.reductions import output_dtype, reduction_steps, shift_dtype

THREADS = 256
WARP = 32


@gpu_kernel_family(threads=THREADS)
def reduce_rows(pre: tuple, post: tuple, combine: str, warp: bool):
    """For inner = 1: a warp a row, or a block. Blocks: ceil(outer / (THREADS / WARP)), or outer."""
    from numba import cuda

    from layercc.cuda.warps import over_row

    element, finish, join, start, accumulator = reduction_steps(pre, post, combine)
    lanes = WARP if warp else THREADS
    rows = THREADS // lanes
    joined = over_row(join, accumulator, THREADS, warp)

    def body(
        x: pointer(pre[0][0]),
        shift: optional(pointer(shift_dtype(pre, post))),
        y: pointer(output_dtype(post)),
        outer: I32,
        reduced: I32,
        count: F64,
    ):
        row = cuda.blockIdx.x * rows + cuda.threadIdx.x // lanes
        if row < outer:
            total = start
            for k in range(cuda.threadIdx.x % lanes, reduced, lanes):
                total = join(total, element(x, row * reduced + k, shift, row))
            total = joined(total)
            if cuda.threadIdx.x % lanes == 0:
                finish(y, row, total, count, shift, row)

    return body


@gpu_kernel_family(threads=THREADS)
def reduce_columns(pre: tuple, post: tuple, combine: str):
    """For inner > 1: a block has WARP columns, each warp a part of their rows.

    Blocks: outer * ceil(inner / WARP).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, quotient, rest
    from layercc.kernels.element_types import SCALAR

    element, finish, join, start, accumulator = reduction_steps(pre, post, combine)
    scalar, warps = SCALAR[accumulator], THREADS // WARP

    def body(
        x: pointer(pre[0][0]),
        shift: optional(pointer(shift_dtype(pre, post))),
        y: pointer(output_dtype(post)),
        outer: I32,
        reduced: I32,
        inner: I32,
        column_blocks: I32,
        count: F64,
    ):
        totals = first_of(cuda.shared.array(THREADS, scalar))
        lane, part = cuda.threadIdx.x % WARP, cuda.threadIdx.x // WARP
        column = rest(cuda.blockIdx.x, column_blocks) * WARP + lane
        o = quotient(cuda.blockIdx.x, column_blocks)
        at = o * inner + column
        total = start
        if column < inner:
            for r in range(part, reduced, warps):
                total = join(total, element(x, (o * reduced + r) * inner + column, shift, at))
        totals[cuda.threadIdx.x] = total
        cuda.syncthreads()
        if part == 0 and column < inner:
            for other in range(1, warps):
                total = join(total, totals[other * WARP + lane])
            finish(y, at, total, count, shift, at)

    return body
