"""Where along the middle of [outer, n, inner] the largest or smallest element lies.

Of equal elements the first counts (or the last); NaN beats every number, as in NumPy.
`COLUMNS` columns a task are searched side by side; for inner = 1 it is 64 parts of a row that are,
their winners being compared in the end.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

COLUMNS = 256
LANES = 64


def _comparison(dtype: str, largest: bool, last: bool):
    """A helper: whether element b, which comes after a, takes its place."""
    from layercc.kernels.helper import jit

    def first_largest(a, b):
        return (b > a) | ((b != b) & (a == a))

    def first_smallest(a, b):
        return (b < a) | ((b != b) & (a == a))

    def last_largest(a, b):
        return ((b >= a) & (a == a)) | (b != b)

    def last_smallest(a, b):
        return ((b <= a) & (a == a)) | (b != b)

    if last:
        return jit(last_largest if largest else last_smallest)
    return jit(first_largest if largest else first_smallest)


@kernel_family(noalias=("y",))
def search_columns(dtype: str, largest: bool, last: bool):
    """Indices as i64; tasks: outer * ceil(inner / COLUMNS). There is at least one element."""
    import numpy as np

    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math_intrinsics import select

    load_x = load(dtype)
    beats = _comparison(dtype, largest, last)
    kind = compute_dtype(dtype)
    columns = COLUMNS

    def body(task: INT, x: pointer(dtype), y: pointer("i64"), n: INT, inner: INT):
        parts = (inner + columns - 1) // columns
        first = task % parts * columns
        width = min(columns, inner - first)
        outer = task // parts
        best = stack_array(columns, kind)
        places = stack_array(columns, "i32")
        source = offset(x, outer * n * inner + first)
        for i in range(width):
            best[i] = load_x(source, i)
            places[i] = 0
        for k in range(1, n):
            source = offset(source, inner)
            place = np.int32(k)
            for i in range(width):
                value = load_x(source, i)
                better = beats(best[i], value)
                best[i] = select(better, value, best[i])
                places[i] = select(better, place, places[i])
        target = offset(y, outer * inner + first)
        for i in range(width):
            target[i] = places[i]

    return body


@kernel_family(noalias=("y",))
def search_rows(dtype: str, largest: bool, last: bool):
    """The same for inner = 1; tasks: ceil(outer / outer_block)."""
    import numpy as np

    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math_intrinsics import select

    load_x = load(dtype)
    beats = _comparison(dtype, largest, last)
    kind = compute_dtype(dtype)
    lanes = LANES

    def body(task: INT, x: pointer(dtype), y: pointer("i64"), outer: INT, outer_block: INT, n: INT):
        best = stack_array(lanes, kind)
        places = stack_array(lanes, "i32")
        for row in range(task * outer_block, min((task + 1) * outer_block, outer)):
            source = offset(x, row * n)
            # lane i searches elements i, i + lanes, ...; the last few are searched at the end
            whole = n // lanes * lanes
            place = 0
            top = load_x(source, 0)
            if whole > 0:
                for i in range(lanes):
                    best[i] = load_x(source, i)
                    places[i] = i
                k = lanes
                while k + lanes <= n:
                    for i in range(lanes):
                        value = load_x(source, k + i)
                        better = beats(best[i], value)
                        best[i] = select(better, value, best[i])
                        places[i] = select(better, np.int32(k + i), places[i])
                    k += lanes
                place = np.int64(places[0])
                top = best[0]
                for i in range(1, lanes):
                    value = best[i]
                    at = np.int64(places[i])
                    same = (value == top) | ((value != value) & (top != top))
                    earlier = (at > place) == last
                    if (same and earlier) or (not same and beats(top, value)):
                        top = value
                        place = at
            for k in range(max(whole, 1), n):
                value = load_x(source, k)
                if beats(top, value):
                    top = value
                    place = k
            y[row] = place

    return body
