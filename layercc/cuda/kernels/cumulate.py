# mypy: ignore-errors
"""Running sums and products along the middle of [outer, n, inner].

    y[o, k, i] = Σ_{j <= k} x[o, j, i]        (j < k with `exclusive`; from the end with `reverse`)

Totals are kept in one type, and rounded where they are stored. A row is walked in pieces of `PIECE`
elements, a thread each, one element after the other, from the total of all pieces before; these are
the running totals of the pieces' own, found in the same way. So the order of the operations depends
on n alone; up to `PIECE` elements it is the CPU's. Bound by memory.

Where only a run knows the axis, there are launches for each, with the tensor's `rank` and the
number `only` of the axis that they are for, of which all but one do nothing; else `rank` is 0.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, INT, optional, pointer

THREADS = 128
#: Elements that a thread walks. Results depend on it.
PIECE = 64


def _parts(accumulator: str, product: bool):
    """(start, join): the total of nothing, and a helper that takes in an element."""
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.helper import jit

    scalar = SCALAR[accumulator]

    def times(a, b):
        return scalar(a * b)

    def plus(a, b):
        return scalar(a + b)

    return scalar(1 if product else 0), jit(times if product else plus)


def _locator():
    """The helper `located(at, n, inner, reverse)`: which piece is thread `at`'s: the element that
    it begins with, the step to the next one, and how many there are."""
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit

    @jit
    def located(at, n, inner, reverse):
        pieces = quotient(n + (PIECE - 1), PIECE)
        q = quotient(at, inner)
        first = rest(q, pieces) * PIECE
        count = min(PIECE, n - first)
        start = quotient(q, pieces) * n
        if reverse != 0:
            return (start + n - 1 - first) * inner + rest(at, inner), -inner, count
        return (start + first) * inner + rest(at, inner), inner, count

    return located


@gpu_kernel_family(threads=THREADS)
def piece_totals(dtype: str, accumulator: str, product: bool):
    """y[o, p, i] = what the elements of piece p come to. Blocks: ceil(total / THREADS), total the
    elements of y."""
    from numba import cuda

    from layercc.kernels.expressions import load

    load_x = load(dtype)
    start, join = _parts(accumulator, product)
    located = _locator()

    def body(
        x: pointer(dtype), y: pointer(accumulator), total: I32, n: I32, inner: I32, reverse: I32,
        axis: optional(pointer("i64")), rank: optional(INT), only: INT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < total and (rank == 0 or axis[0] == only or axis[0] == only - rank):
            place, step, count = located(at, n, inner, reverse)
            value = start
            for k in range(count):
                value = join(value, load_x(x, place + k * step))
            y[at] = value

    return body


@gpu_kernel_family(threads=THREADS)
def cumulate(dtype: str, accumulator: str, product: bool, exclusive: bool, behind: bool):
    """With `behind`, `before` has for each piece what all pieces before it come to.

    Blocks: ceil(total / THREADS), total the pieces.
    """
    from numba import cuda

    from layercc.kernels.expressions import load, store

    load_x, store_y = load(dtype), store(dtype)
    start, join = _parts(accumulator, product)
    located = _locator()

    def body(
        x: pointer(dtype), before: optional(pointer(accumulator)), y: pointer(dtype), total: I32,
        n: I32, inner: I32, reverse: I32, axis: optional(pointer("i64")), rank: optional(INT),
        only: INT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < total and (rank == 0 or axis[0] == only or axis[0] == only - rank):
            place, step, count = located(at, n, inner, reverse)
            value = before[at] if behind else start
            for k in range(count):
                here = place + k * step
                element = load_x(x, here)
                if exclusive:
                    store_y(y, here, value)
                    value = join(value, element)
                else:
                    value = join(value, element)
                    store_y(y, here, value)

    return body
