# mypy: ignore-errors
"""Elements in proportion to others: softmax, layer and RMS normalization, local response.

A warp has a row, or a block where rows are long; which thread takes what depends on n only. Rows
are read again for each pass, from cache if they fit.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import F64, I32, INT, optional, pointer

THREADS = 256
WARP = 32


@gpu_kernel_family(threads=THREADS)
def softmax_rows(dtype: str, logarithm: bool, warp: bool):
    """y[k] = exp(x[k] - m) / s, or x[k] - m - log s. Powers are summed by each thread in the type
    that is computed in, and the threads' sums in f64.

    Blocks: ceil(outer / (THREADS / WARP)) for warps, or outer.
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.warps import over_row
    from layercc.kernels.accumulate import add, largest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.math import SCALAR, primitive

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    exp, log = primitive("exp_nonpositive", kind), primitive("log", kind)
    load_x, store_y = load(dtype), store(dtype)
    lowest, zero = scalar(-np.inf), scalar(0)
    lanes = WARP if warp else THREADS
    rows = THREADS // lanes
    topmost, summed = over_row(largest, kind, THREADS, warp), over_row(add, "f64", THREADS, warp)

    def body(x: pointer(dtype), y: pointer(dtype), outer: I32, n: I32):
        row = cuda.blockIdx.x * rows + cuda.threadIdx.x // lanes
        lane = cuda.threadIdx.x % lanes
        if row < outer:
            start = row * n
            top = lowest
            for k in range(lane, n, lanes):
                top = largest(top, load_x(x, start + k))
            top = topmost(top)
            part = zero
            for k in range(lane, n, lanes):
                part = add(part, exp(load_x(x, start + k) - top))
            total = summed(np.float64(part))
            if logarithm:
                low = log(scalar(total))
                for k in range(lane, n, lanes):
                    store_y(y, start + k, (load_x(x, start + k) - top) - low)
            else:
                factor = scalar(np.float64(1) / total)
                for k in range(lane, n, lanes):
                    store_y(y, start + k, exp(load_x(x, start + k) - top) * factor)

    return body


@gpu_kernel_family(threads=THREADS)
def softmax_columns(dtype: str, logarithm: bool):
    """Softmax over the middle of [outer, n, inner], a thread a column.

    Blocks: ceil(outer * inner / THREADS).
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.accumulate import largest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    exp, log = primitive("exp_nonpositive", kind), primitive("log", kind)
    load_x, store_y = load(dtype), store(dtype)
    lowest = scalar(-np.inf)

    def body(x: pointer(dtype), y: pointer(dtype), columns: I32, n: I32, inner: I32):
        column = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if column < columns:
            start = quotient(column, inner) * n * inner + rest(column, inner)
            source, target = offset(x, start), offset(y, start)
            top = lowest
            for k in range(n):
                top = largest(top, load_x(source, k * inner))
            total = np.float64(0)
            for k in range(n):
                total += exp(load_x(source, k * inner) - top)
            if logarithm:
                low = log(scalar(total))
                for k in range(n):
                    store_y(target, k * inner, (load_x(source, k * inner) - top) - low)
            else:
                factor = scalar(np.float64(1) / total)
                for k in range(n):
                    store_y(target, k * inner, exp(load_x(source, k * inner) - top) * factor)

    return body


@gpu_kernel_family(threads=THREADS)
def normalize_rows(
    dtype: str, scale_dtype: str, centered: bool, biased: bool, stats: str, warp: bool
):
    """Layer normalization (`centered`) or RMS, as `layercc.jobs.normalization.NormalizeRows` says.

    Mean and variance are taken in two passes, in f64. Where `stats` names a data type, mean and
    inverse deviation of each row go to `means` and `inverses`.
    Blocks: ceil(outer / (THREADS / WARP)) for warps, or outer.
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.warps import over_row
    from layercc.kernels.accumulate import add
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.math import SCALAR
    from layercc.kernels.math_intrinsics import sqrt

    scalar = SCALAR[compute_dtype(dtype)]
    load_x, store_y, load_scale = load(dtype), store(scale_dtype), load(scale_dtype)
    store_stat, stat = store(stats or "f32"), SCALAR[compute_dtype(stats or "f32")]
    zero = np.float64(0)
    lanes = WARP if warp else THREADS
    rows = THREADS // lanes
    summed = over_row(add, "f64", THREADS, warp)

    def body(
        x: pointer(dtype),
        scale: pointer(scale_dtype),
        bias: optional(pointer(scale_dtype)),
        y: pointer(scale_dtype),
        means: optional(pointer(stats or "f32")),
        inverses: optional(pointer(stats or "f32")),
        outer: I32,
        n: I32,
        epsilon: F64,
    ):
        row = cuda.blockIdx.x * rows + cuda.threadIdx.x // lanes
        lane = cuda.threadIdx.x % lanes
        if row < outer:
            start = row * n
            mean = zero
            if centered:
                total = zero
                for k in range(lane, n, lanes):
                    total = add(total, np.float64(load_x(x, start + k)))
                mean = summed(total) / np.float64(n)
            squares = zero
            for k in range(lane, n, lanes):
                value = load_x(x, start + k) - mean
                squares = add(squares, value * value)
            inverse = np.float64(1) / sqrt(summed(squares) / np.float64(n) + epsilon)
            if stats and lane == 0:
                store_stat(means, row, stat(mean))
                store_stat(inverses, row, stat(inverse))
            center = scalar(mean)
            left = scalar(mean - np.float64(center))
            factor = scalar(inverse)
            for k in range(lane, n, lanes):
                value = ((load_x(x, start + k) - center) - left) * factor * load_scale(scale, k)
                if biased:
                    value += load_scale(bias, k)
                store_y(y, start + k, value)

    return body


@gpu_kernel_family(threads=THREADS)
def local_response(dtype: str, beta: float):
    """y[o, c, i] = x[o, c, i] / (bias + alpha * Σ_d x[o, c + d, i]^2) ^ beta, an element a thread;
    -before <= d <= after.

    Blocks: ceil(n / THREADS), n the elements of x, [planes, channels, step].
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.math import SCALAR
    from layercc.kernels.response import response_factor

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    load_x, store_y, factor = load(dtype), store(dtype), response_factor(kind, beta)

    def body(
        x: pointer(dtype), y: pointer(dtype), n: I32, channels: I32, step: I32, before: INT,
        after: INT, alpha: F64, bias: F64,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            c = rest(quotient(at, step), channels)
            total = scalar(0)
            for d in range(max(-before, -c), min(after, channels - 1 - c) + 1):
                value = load_x(x, at + d * step)
                total += value * value
            store_y(y, at, load_x(x, at) * factor(scalar(bias) + scalar(alpha) * total))

    return body
