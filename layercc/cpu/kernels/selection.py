# mypy: ignore-errors
"""The k largest or smallest elements along an axis, in order, and where they are.

A heap of the k best elements seen so far, the worst on top, is kept in the output itself; a heap
sort then puts it in order (Williams, "Algorithm 232: heapsort", 1964): O(n log k) a row.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer


@kernel_family
def top_k(dtype: str, largest: bool):
    """x is [outer, n, inner]; values and indices are [outer, k, inner], k > 0.

    Of equal elements the one with the lower index comes first; NaN counts as the largest. Tasks:
    rows (o, i) in chunks.
    """
    from layercc.kernels.element_types import FLOATS
    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    load_x = load(dtype)
    is_float = compute_dtype(dtype) in FLOATS

    @jit
    def above(a, b):
        if is_float:
            return (a > b) or (a != a and b == b)
        return a > b

    @jit
    def better(a, place, b, other):
        """Whether element a at `place` comes before element b at `other`."""
        if above(a, b):
            return largest
        if above(b, a):
            return not largest
        return place < other

    @jit
    def sift_down(values, indices, step, first, count):
        """Moves the element at `first` down to where no better one is above a worse one."""
        at = first
        while True:
            child = 2 * at + 1
            if child >= count:
                return
            a = load_x(values, child * step)
            if child + 1 < count and better(
                a, indices[child * step], load_x(values, (child + 1) * step),
                indices[(child + 1) * step],
            ):  # fmt: skip
                child += 1
            worst = load_x(values, child * step)
            if not better(
                load_x(values, at * step), indices[at * step], worst, indices[child * step]
            ):
                return
            swap(values, indices, step, at, child)
            at = child

    @jit
    def swap(values, indices, step, a, b):
        values[a * step], values[b * step] = values[b * step], values[a * step]
        indices[a * step], indices[b * step] = indices[b * step], indices[a * step]

    def body(
        task: INT,
        x: pointer(dtype),
        values: pointer(dtype),
        indices: pointer("i64"),
        rows: INT,
        n: INT,
        k: INT,
        inner: INT,
        chunk: INT,
    ):
        for row in range(task * chunk, min((task + 1) * chunk, rows)):
            o, i = row // inner, row % inner
            source = offset(x, o * n * inner + i)
            best = offset(values, o * k * inner + i)
            where = offset(indices, o * k * inner + i)
            for j in range(k):
                best[j * inner] = source[j * inner]
                where[j * inner] = j
            for j in range(k // 2 - 1, -1, -1):
                sift_down(best, where, inner, j, k)
            for j in range(k, n):
                if better(load_x(source, j * inner), j, load_x(best, 0), where[0]):
                    best[0] = source[j * inner]
                    where[0] = j
                    sift_down(best, where, inner, 0, k)
            for count in range(k - 1, 0, -1):
                swap(best, where, inner, 0, count)
                sift_down(best, where, inner, 0, count)

    return body
