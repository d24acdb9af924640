"""Softmax and log-softmax over the middle of [outer, n, inner].

    y[o, k, i] = exp(x[o, k, i] - m) / Σ_k exp(x[o, k, i] - m),   m = max_k x[o, k, i]
    or x[o, k, i] - m - log Σ

`softmax_rows` is for inner = 1: rows are read three times, from cache if they fit. Powers are
summed in f32 over stretches of `STRETCH` elements and the stretches in f64, in an order that
depends on n only. `softmax_columns` keeps maxima and sums of a block of columns on the stack.
Where y cannot hold the powers until their sum is known, they are computed twice. Powers that
would be denormal are 0.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

STRETCH = 1024
#: Elements of i that a task of `softmax_columns` takes.
COLUMNS = 256


@kernel_family(noalias=("y",))
def softmax_rows(dtype: str, logarithm: bool):
    """Rows of n; tasks: ceil(outer / outer_block)."""
    import numpy as np

    from layercc.kernels.accumulate import add, largest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    exp, log = primitive("exp_nonpositive", kind), primitive("log", "f64")
    load_x, store_y = load(dtype), store(dtype)
    lowest, zero = scalar(-np.inf), scalar(0)
    keep = not logarithm and kind == dtype  # the powers, in y, until their sum is known
    stretch = STRETCH

    def body(task: INT, x: pointer(dtype), y: pointer(dtype), outer: INT, outer_block: INT, n: INT):
        for row in range(task * outer_block, min((task + 1) * outer_block, outer)):
            source = offset(x, row * n)
            target = offset(y, row * n)
            top = lowest
            for k in range(n):
                top = largest(top, load_x(source, k))
            total = np.float64(0)
            first = 0
            while first < n:
                part = zero
                for k in range(first, min(first + stretch, n)):
                    power = exp(load_x(source, k) - top)
                    if keep:
                        store_y(target, k, power)
                    part = add(part, power)
                total += part
                first += stretch

            if logarithm:
                low = scalar(log(total))
                for k in range(n):
                    store_y(target, k, (load_x(source, k) - top) - low)
            elif keep:
                factor = scalar(np.float64(1) / total)
                for k in range(n):
                    target[k] *= factor
            else:
                factor = scalar(np.float64(1) / total)
                for k in range(n):
                    store_y(target, k, exp(load_x(source, k) - top) * factor)

    return body


@kernel_family(noalias=("y",))
def softmax_columns(dtype: str, logarithm: bool):
    """Any inner; tasks: outer * ceil(inner / COLUMNS)."""
    import numpy as np

    from layercc.kernels.accumulate import largest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR, primitive

    kind = compute_dtype(dtype)
    scalar = SCALAR[kind]
    exp, log = primitive("exp_nonpositive", kind), primitive("log", kind)
    load_x, store_y = load(dtype), store(dtype)
    lowest = scalar(-np.inf)
    columns = COLUMNS

    def body(task: INT, x: pointer(dtype), y: pointer(dtype), n: INT, inner: INT):
        parts = (inner + columns - 1) // columns
        first = task % parts * columns
        width = min(columns, inner - first)
        start = task // parts * n * inner + first
        tops = stack_array(columns, kind)
        totals = stack_array(columns, "f64")
        factors = stack_array(columns, kind)
        for i in range(width):
            tops[i] = lowest
            totals[i] = np.float64(0)
        for k in range(n):
            source = offset(x, start + k * inner)
            for i in range(width):
                tops[i] = largest(tops[i], load_x(source, i))
        for k in range(n):
            source = offset(x, start + k * inner)
            for i in range(width):
                totals[i] += exp(load_x(source, i) - tops[i])
        for i in range(width):
            if logarithm:
                factors[i] = log(scalar(totals[i]))
            else:
                factors[i] = scalar(np.float64(1) / totals[i])
        for k in range(n):
            source = offset(x, start + k * inner)
            target = offset(y, start + k * inner)
            for i in range(width):
                shifted = load_x(source, i) - tops[i]
                if logarithm:
                    store_y(target, i, shifted - factors[i])
                else:
                    store_y(target, i, exp(shifted) * factors[i])

    return body
