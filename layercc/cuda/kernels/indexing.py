# mypy: ignore-errors
"""Elements read at places that only a run knows, an element of the result a thread.

A value that is out of range is reported, and one in range goes for it. Reported is the lowest place
among those of its tensor, by an atomic minimum, which is the same whoever comes first; a launch
behind (`tell`) then writes down the value at that place. Bound by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.faults import FAULT, RECORD_WORDS, VALUE
from layercc.kernels.declaration import I32, INT, optional, pointer, record

THREADS = 256
#: A dim of an index space, and how a tensor is walked along it, in elements.
DIM = record("Dim", size=I32, stride=INT)


def reporter():
    """The helper `report(fault, position)`."""
    from layercc.cuda.intrinsics import atomic_least
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset

    @jit
    def report(fault, position):
        atomic_least(offset(fault.block, fault.check * RECORD_WORDS), position)

    return report


def index_checker():
    """The helper `checked(fault, position, index, size)`: the place in a dim that is meant.

    Negative indices count from the end. One outside of the dim is reported, and 0 goes for it.
    """
    from layercc.kernels.helper import jit

    report = reporter()

    @jit
    def checked(fault, position, index, size):
        at = index + size if index < 0 else index
        if at < 0 or at >= size:
            report(fault, position)
            at = 0
        return at

    return checked


def walker(rank: int):
    """The helper `walked(at, dims)`: how far from its start place number `at` of an index space of
    `rank` dims (records `DIM`, the last one innermost) is."""
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit

    lines = ["def walked(at, dims):", "    left = at"]
    for d in reversed(range(1, rank)):
        lines += [f"    i{d} = rest(left, dims[{d}].size)"]
        lines += [f"    left = quotient(left, dims[{d}].size)"]
    terms = ["left * dims[0].stride", *(f"i{d} * dims[{d}].stride" for d in range(1, rank))]
    lines.append(f"    return {' + '.join(terms)}")
    names = {"quotient": quotient, "rest": rest}
    exec("\n".join(lines), names)
    return jit(names["walked"])


def tuple_reader(length: int):
    """The helper `meant(indices, t, dims, fault)`: where in a tensor the slice lies that tuple
    number t of `length` indices means; `dims` are those that it indexes."""
    from layercc.kernels.helper import jit

    lines = ["def meant(indices, t, dims, fault):", f"    first, at = t * {length}, 0"]
    for d in range(length):
        lines += [
            f"    place = checked(fault, first + {d}, indices[first + {d}], dims[{d}].size)",
            f"    at += place * dims[{d}].stride",
        ]
    lines.append("    return at")
    names = {"checked": index_checker()}
    exec("\n".join(lines), names)
    return jit(names["meant"])


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


@gpu_kernel_family(threads=THREADS)
def gather_elements(dtype: str, index_dtype: str, rank: int):
    """y[i] = x[i with the coordinate along one axis replaced by indices[i]].

    `dims` are those of the indices, with x's strides, 0 for the axis; `stride` is the axis's and
    `size` its size. Blocks: ceil(n / THREADS), n the indices.
    """
    from numba import cuda

    checked, walked = index_checker(), walker(rank)

    def body(
        x: pointer(dtype), indices: pointer(index_dtype), y: pointer(dtype), n: I32, size: I32,
        stride: INT, dims: (DIM,) * rank, fault: FAULT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            place = checked(fault, at, indices[at], size)
            y[at] = x[walked(at, dims) + place * stride]

    return body


@gpu_kernel_family(threads=THREADS)
def gather_nd(dtype: str, length: int):
    """y[t, :] = x[batch of t, indices[t], :]: slices of `inner` elements at tuples of indices.

    `tuples` belong to each batch element, which takes `batch_stride` elements of x. Blocks:
    ceil(n / THREADS), n the elements of y.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest

    meant = tuple_reader(length)

    def body(
        x: pointer(dtype), indices: pointer("i64"), y: pointer(dtype), n: I32, inner: I32,
        tuples: I32, batch_stride: INT, dims: (DIM,) * length, fault: FAULT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            t = quotient(at, inner)
            start = quotient(t, tuples) * batch_stride + meant(indices, t, dims, fault)
            y[at] = x[start + rest(at, inner)]

    return body


@gpu_kernel_family(threads=THREADS)
def inspect(dtype: str, length: int):
    """Reports indices that are out of range, where nothing is read or written at them.

    They are tuples of `length`, for `dims`. Blocks: ceil(n / THREADS), n the tuples.
    """
    from numba import cuda

    meant = tuple_reader(length)

    def body(indices: pointer(dtype), n: I32, dims: (DIM,) * length, fault: FAULT):
        t = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if t < n:
            meant(indices, t, dims, fault)

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


@gpu_kernel_family(threads=32)
def tell_tuple(length: int):
    """`tell` for tuples of indices, whose range hangs on their place in the tuple. Blocks: 1."""
    from numba import cuda

    from layercc.cuda.intrinsics import rest
    from layercc.kernels.intrinsics import offset

    def body(x: pointer("i64"), n: I32, dims: (DIM,) * length, fault: FAULT):
        record = offset(fault.block, fault.check * RECORD_WORDS)
        at = record[0]
        if cuda.threadIdx.x == 0 and at < n:
            d = rest(at, length)
            record[VALUE] = x[at]
            for other in range(length):
                if other == d:
                    record[VALUE + 1] = -dims[other].size
                    record[VALUE + 2] = dims[other].size - 1

    return body
