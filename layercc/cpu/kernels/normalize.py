"""Layer and RMS normalization of rows of n elements.

    layer:  y = (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias
    RMS:    y = x / sqrt(mean(x^2) + epsilon) * scale

Mean and variance are taken in two passes over the row, summed in f64, in an order that depends on
n only. Rows are read three times, from cache if they fit.
"""

from layercc.kernels.declaration import F64, INT, kernel_family, optional, pointer


@kernel_family(noalias=("y",))
def normalize_rows(dtype: str, scale_dtype: str, centered: bool, biased: bool, stats: str):
    """Layer normalization (`centered`) or RMS; tasks: ceil(outer / outer_block).

    `scale` has n elements, as has `bias` with `biased`. Where `stats` names a data type, mean and
    inverse standard deviation of each row are written to `means` and `inverses`.
    """
    import numpy as np

    from layercc.kernels.accumulate import add
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR
    from layercc.kernels.math_intrinsics import sqrt

    scalar = SCALAR[compute_dtype(dtype)]
    load_x, store_y, load_scale = load(dtype), store(scale_dtype), load(scale_dtype)
    store_stat, stat = store(stats or "f32"), SCALAR[compute_dtype(stats or "f32")]
    zero = np.float64(0)

    def body(
        task: INT,
        x: pointer(dtype),
        scale: pointer(scale_dtype),
        bias: optional(pointer(scale_dtype)),
        y: pointer(scale_dtype),
        means: optional(pointer(stats or "f32")),
        inverses: optional(pointer(stats or "f32")),
        outer: INT,
        outer_block: INT,
        n: INT,
        epsilon: F64,
    ):
        for row in range(task * outer_block, min((task + 1) * outer_block, outer)):
            source = offset(x, row * n)
            target = offset(y, row * n)
            mean = zero
            if centered:
                total = zero
                for k in range(n):
                    total = add(total, np.float64(load_x(source, k)))
                mean = total / np.float64(n)
            squares = zero
            for k in range(n):
                value = load_x(source, k) - mean
                squares = add(squares, value * value)
            inverse = np.float64(1) / sqrt(squares / np.float64(n) + epsilon)
            if stats:
                store_stat(means, row, stat(mean))
                store_stat(inverses, row, stat(inverse))
            center = scalar(mean)
            rest = scalar(mean - np.float64(center))
            factor = scalar(inverse)
            for k in range(n):
                value = ((load_x(source, k) - center) - rest) * factor * load_scale(scale, k)
                if biased:
                    value += load_scale(bias, k)
                store_y(target, k, value)

    return body
