# mypy: ignore-errors
"""Resampling along one axis by tables of positions and weights.

    Y[o, i, j] = Σ_t W[i, t] · X[o, P[i, t], j]

`j` runs over all that lies behind the axis and is the innermost loop: with channels last, whole
pixels or rows of them. Rows i whose first position is negative lie outside and get a fixed value.
Bound by memory.
"""

from layercc.kernels.declaration import F64, INT, kernel_family, pointer

#: Elements of j that are summed up at a time where there are many taps.
_BLOCK = 512


@kernel_family(noalias=("y",))
def resample(source: str, target: str, compute: str, taps: int):
    """`taps` is 2 or 4, or 0 for any number `count_taps`; tasks: (o, i) in chunks.

    Sums are of type `compute`; integers are rounded to even and saturated.
    """
    import numpy as np

    from layercc.kernels.expressions import load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR, primitive

    scalar = SCALAR[compute]
    load_x, store_y = load(source), store(target)
    if target[0] in "iu":
        limits = np.iinfo({"i": "int", "u": "uint"}[target[0]] + target[1:])
        # the largest integers that the sums' type holds exactly
        digits = np.finfo(scalar).nmant + 1
        room = max(int(limits.max).bit_length() - digits, 0)
        low, high = scalar(int(limits.min)), scalar((int(limits.max) >> room) << room)
        rint, whole = primitive("rint", compute), SCALAR[target]

        @jit
        def put(y, j, value):
            y[j] = whole(min(max(rint(value), low), high))

    else:

        @jit
        def put(y, j, value):
            store_y(y, j, value)

    block = _BLOCK

    def body(
        task: INT,
        x: pointer(source),
        positions: pointer("i64"),
        weights: pointer(compute),
        y: pointer(target),
        outside: F64,
        outer: INT,
        size: INT,
        count: INT,
        inner: INT,
        count_taps: INT,
        chunk: INT,
    ):
        sums = stack_array(block, compute)
        n = taps if taps > 0 else count_taps
        fixed = scalar(outside)
        for row in range(task * chunk, min((task + 1) * chunk, outer * count)):
            o, i = row // count, row % count
            image = offset(x, o * size * inner)
            p = offset(positions, i * n)
            w = offset(weights, i * n)
            out = offset(y, row * inner)
            if p[0] < 0:
                for j in range(inner):
                    put(out, j, fixed)
            elif taps == 2:
                a, b = offset(image, p[0] * inner), offset(image, p[1] * inner)
                wa, wb = w[0], w[1]
                for j in range(inner):
                    put(out, j, wa * scalar(load_x(a, j)) + wb * scalar(load_x(b, j)))
            elif taps == 4:
                a, b = offset(image, p[0] * inner), offset(image, p[1] * inner)
                c, d = offset(image, p[2] * inner), offset(image, p[3] * inner)
                wa, wb, wc, wd = w[0], w[1], w[2], w[3]
                for j in range(inner):
                    first = wa * scalar(load_x(a, j)) + wb * scalar(load_x(b, j))
                    second = wc * scalar(load_x(c, j)) + wd * scalar(load_x(d, j))
                    put(out, j, first + second)
            else:
                for start in range(0, inner, block):
                    width = min(block, inner - start)
                    for j in range(width):
                        sums[j] = 0
                    for t in range(n):
                        a = offset(image, p[t] * inner + start)
                        wt = w[t]
                        for j in range(width):
                            sums[j] = sums[j] + wt * scalar(load_x(a, j))
                    for j in range(width):
                        put(out, start + j, sums[j])

    return body
