# mypy: ignore-errors
"""Elements that go to places which a run's numbers decide: rows into a sequence, marks, triangles.

An element of what is written a thread. Bound by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, pointer

THREADS = 256


@gpu_kernel_family(threads=THREADS)
def write_sequence(dtype: str, circular: bool):
    """y[b, o, starts[b] + i, :] = x[b, o, i, :] for i < count, in rows of `inner` elements.

    Positions beyond `size` are taken modulo it where `circular`, else there are none; of several
    rows for a position the last one is written. Blocks: ceil(n / THREADS), n the elements of x.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest

    def body(
        x: pointer(dtype), starts: pointer("i64"), y: pointer(dtype), n: I32, rows: I32, size: I32,
        count: I32, inner: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            j = rest(at, inner)
            q = quotient(at, inner)
            i = rest(q, count)
            row = quotient(q, count)
            place = starts[quotient(row, rows)] + i
            if circular:
                place = place % size
            if i >= count - size:
                y[(row * size + place) * inner + j] = x[at]

    return body


@gpu_kernel_family(threads=THREADS)
def one_hot(dtype: str, index: str):
    """y[o, d, i] = values[1] where d is indices[o, i] (or depth more), else values[0].

    Blocks: ceil(n / THREADS), n the elements of y.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.element_types import FLOATS, SCALAR
    from layercc.kernels.expressions import compute_dtype, load
    from layercc.kernels.helper import jit

    load_index = load(index)
    int64, int32 = SCALAR["i64"], SCALAR["i32"]

    def of_float(value, depth):
        found = int64(-1)
        if value > -depth - 1 and value < depth:  # false for NaN
            found = int64(int32(value))
            found = found + depth if found < 0 else found
        return found

    def of_integer(value, depth):
        found = int64(value)
        return found + depth if found < 0 else found

    meant = jit(of_float if compute_dtype(index) in FLOATS else of_integer)

    def body(
        indices: pointer(index), values: pointer(dtype), y: pointer(dtype), n: I32, depth: I32,
        inner: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            q = quotient(at, inner)
            number = quotient(q, depth) * inner + rest(at, inner)
            on = meant(load_index(indices, number), depth) == rest(q, depth)
            y[at] = values[1] if on else values[0]

    return body


@gpu_kernel_family(threads=THREADS)
def reverse_sequence(dtype: str, batch_first: bool):
    """The first lengths[b] steps, which exist, reversed: x seen as [n0, n1, n2, n3, inner].

    Dims 1 and 3 are time and batch, or with `batch_first` batch and time. Blocks:
    ceil(n / THREADS), n the elements.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit

    @jit
    def turned(place, length):
        return length - 1 - place if place < length else place

    def body(
        x: pointer(dtype), lengths: pointer("i64"), y: pointer(dtype), n: I32, n1: I32, n2: I32,
        n3: I32, inner: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            q = quotient(at, inner)
            last = rest(q, n3)
            q = quotient(q, n3)
            between = rest(q, n2)
            q = quotient(q, n2)
            first = rest(q, n1)
            before = quotient(q, n1) * n1
            if batch_first:
                source = ((before + first) * n2 + between) * n3 + turned(last, lengths[first])
            else:
                source = ((before + turned(first, lengths[last])) * n2 + between) * n3 + last
            y[at] = x[source * inner + rest(at, inner)]

    return body


@gpu_kernel_family(threads=THREADS)
def triangle(dtype: str, upper: bool):
    """y = x on and above (or below) diagonal k[0], zero elsewhere; y may be x.

    Blocks: ceil(n / THREADS), n the elements.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.element_types import ELEMENT_TYPES, SCALAR

    zero = SCALAR[ELEMENT_TYPES[dtype].stored](0)

    def body(
        x: pointer(dtype), k: pointer("i64"), y: pointer(dtype), n: I32, height: I32, width: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            diagonal = min(max(k[0], -height), width)  # beyond is all or nothing, may overflow
            off = rest(at, width) - rest(quotient(at, width), height) - diagonal
            kept = off >= 0 if upper else off <= 0
            y[at] = x[at] if kept else zero

    return body
