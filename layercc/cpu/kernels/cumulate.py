"""Running sums and products along the middle of [outer, n, inner].

    y[o, k, i] = Σ_{j <= k} x[o, j, i]        (j < k with `exclusive`; from the end with `reverse`)

Totals run one element after the other, columns side by side: of f16 and bf16 in f32, of other
floats in f64. Each is rounded where it is stored, and the next goes on from what it was before.
"""

from layercc.kernels.declaration import INT, kernel_family, optional, pointer

COLUMNS = 256


@kernel_family(noalias=("y",))
def cumulate(dtype: str, accumulator: str, product: bool, exclusive: bool):
    """Tasks: outer * ceil(inner / COLUMNS). `reverse` is 0 or 1.

    Where the axis is known only at run time there is a call for each axis, with the tensor's
    `rank` and the number `only` of the axis that the call is for; otherwise `rank` is 0.
    """
    from layercc.kernels.expressions import load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR

    scalar = SCALAR[accumulator]
    start = scalar(1 if product else 0)
    load_x, store_y = load(dtype), store(dtype)
    columns = COLUMNS

    if product:

        @jit
        def join(a, b):
            return scalar(a * b)

    else:

        @jit
        def join(a, b):
            return scalar(a + b)

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer(dtype),
        n: INT,
        inner: INT,
        reverse: INT,
        axis: optional(pointer("i64")),
        rank: optional(INT),
        only: INT,
    ):
        if rank != 0 and axis[0] != only and axis[0] != only - rank:
            return
        parts = (inner + columns - 1) // columns
        first = task % parts * columns
        width = min(columns, inner - first)
        start_at = task // parts * n * inner + first
        step = inner
        if reverse != 0:
            start_at += (n - 1) * inner
            step = -inner
        source = offset(x, start_at)
        target = offset(y, start_at)
        if width == 1:
            total = start
            for _ in range(n):
                if exclusive:
                    store_y(target, 0, total)
                    total = join(total, load_x(source, 0))
                else:
                    total = join(total, load_x(source, 0))
                    store_y(target, 0, total)
                source = offset(source, step)
                target = offset(target, step)
            return
        totals = stack_array(columns, accumulator)
        for i in range(width):
            totals[i] = start
        for _ in range(n):
            for i in range(width):
                if exclusive:
                    store_y(target, i, totals[i])
                    totals[i] = join(totals[i], load_x(source, i))
                else:
                    totals[i] = join(totals[i], load_x(source, i))
                    store_y(target, i, totals[i])
            source = offset(source, step)
            target = offset(target, step)

    return body
