# mypy: ignore-errors
"""Elements read at places that only a run knows.

A value that is out of range is reported, and one in range goes for it. Reported is the lowest place
among those of its tensor, by an atomic minimum, which is the same whoever comes first; a launch
behind (`tell`) then writes down the value at that place.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.faults import FAULT, RECORD_WORDS, VALUE
from layercc.kernels.declaration import I32, INT, optional, pointer

THREADS = 256


def reporter():
    """The helper `report(fault, position)`."""
    from layercc.cuda.intrinsics import atomic_least
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    @jit
    def report(fault, position):
        atomic_least(offset(fault.block, fault.check * RECORD_WORDS), position)

    return report


@gpu_kernel_family(threads=THREADS)
def gather(dtype: str, index_dtype: str, checked: bool):
    """y[o, i, j] = x[o, indices[i], j] of x [outer, size, inner]; negative indices count from the
    end. Blocks: ceil(n / THREADS), n the elements of y."""
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest

    report = reporter()

    def body(
        x: pointer(dtype), indices: pointer(index_dtype), y: pointer(dtype),
        n: I32, size: I32, count: I32, inner: I32, fault: optional(FAULT),
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            j = rest(at, inner)
            q = quotient(at, inner)
            number = rest(q, count)
            index = indices[number]
            place = index + size if index < 0 else index
            if checked and (place < 0 or place >= size):
                report(fault, number)
                place = 0
            y[at] = x[(quotient(q, count) * size + place) * inner + j]

    return body


@gpu_kernel_family(threads=THREADS)
def bound(dtype: str):
    """y = x, moved into `low`..`high` and reported where it is outside.

    Blocks: ceil(n / THREADS).
    """
    from numba import cuda

    report = reporter()

    def body(
        x: pointer(dtype), y: pointer(dtype), n: I32, low: INT, high: INT, fault: FAULT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            value = x[at]
            if value < low or value > high:
                report(fault, at)
            y[at] = max(min(value, high), low)

    return body


@gpu_kernel_family(threads=32)
def tell(dtype: str):
    """Writes down the value that was reported, if one was, and the range it should have been in.

    Blocks: 1.
    """
    from numba import cuda

    from layercc.kernels.intrinsics import offset

    def body(x: pointer(dtype), n: I32, low: INT, high: INT, fault: FAULT):
        record = offset(fault.block, fault.check * RECORD_WORDS)
        if cuda.threadIdx.x == 0 and record[0] < n:
            record[VALUE] = x[record[0]]
            record[VALUE + 1] = low
            record[VALUE + 2] = high

    return body
