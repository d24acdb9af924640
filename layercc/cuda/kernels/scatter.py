# mypy: ignore-errors
"""Elements written at places that only a run knows, or combined with what is there.

Updates come in lines, of which each goes to elements that no other line reaches: for
ScatterElements those along the axis, for ScatterND those at one place of all slices. A line's
updates are applied one after another, as on the CPU: an element has an owner, the one thread that
looks through the whole line for updates of it. So there are no atomics, the last of several updates
wins, and sums are those of the CPU to the bit; how many owners there are changes none.

A block has neighbouring lines side by side, and the places of their updates, a tile after the
other, in shared memory. Bound by looking through the tiles: each owner looks at all updates.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.faults import FAULT
from layercc.cuda.kernels.indexing import DIM, index_checker, tuple_reader, walker
from layercc.kernels.declaration import I32, INT, pointer

THREADS = 256
#: Places that a block keeps in shared memory.
_TILE = 2048


def _joiner(dtype: str, reduction: str):
    """The helper `join(y, at, updates, number)`: stores an update, or combines it with what is
    there."""
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit

    if reduction == "none":

        def join(y, at, updates, number):
            y[at] = updates[number]

        return jit(join)
    load_y, store_y = load(dtype), store(dtype)
    combine = _combination(reduction, compute_dtype(dtype))

    def join(y, at, updates, number):
        store_y(y, at, combine(load_y(y, at), load_y(updates, number)))

    return jit(join)


def _combination(reduction: str, kind: str):
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.helper import jit
    from layercc.kernels.math import primitive

    scalar = SCALAR[kind]
    if reduction in ("max", "min"):
        return primitive(f"{reduction}imum", kind)

    def add(a, b):
        return scalar(a + b)

    def mul(a, b):
        return scalar(a * b)

    return jit(add if reduction == "add" else mul)


def _applier(dtype: str, reduction: str, lanes: int):
    """The helper that looks through a tile: `apply(y, updates, tile, count, owner, owners, start,
    step, first, number_step)`.

    Update k of the tile is number `first + k * number_step`, and goes to element
    `start + tile[k] * step` if its place is this owner's.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import rest
    from layercc.kernels.helper import jit

    join = _joiner(dtype, reduction)

    @jit
    def apply(y, updates, tile, count, owner, owners, start, step, first, number_step):
        lane = cuda.threadIdx.x % lanes
        for k in range(count):
            place = tile[k * lanes + lane]
            if rest(place, owners) == owner:
                join(y, start + place * step, updates, first + k * number_step)

    return apply


@gpu_kernel_family(threads=THREADS)
def scatter_elements(dtype: str, index_dtype: str, reduction: str, lanes: int, rank: int):
    """y[i with the coordinate along one axis replaced by indices[i]] = updates[i], or combined.

    Lines are numbered over `outer` and `inner` dims of the indices, before and behind the axis,
    along which there are `count`; `dims` are those of all lines, with y's strides. The axis has
    `size` elements in y, `stride` apart. A block has `lanes` lines, and one of `parts` of the
    owners. Blocks: ceil(lines / lanes) * parts.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, quotient, rest
    from layercc.kernels.element_types import SCALAR

    owners_here = THREADS // lanes
    updates_of_tile = _TILE // lanes
    checked, walked = index_checker(), walker(rank)
    apply = _applier(dtype, reduction, lanes)
    int32 = SCALAR["i32"]

    def body(
        y: pointer(dtype), indices: pointer(index_dtype), updates: pointer(dtype), lines: I32,
        inner: I32, count: I32, size: I32, stride: INT, parts: I32, dims: (DIM,) * rank,
        fault: FAULT,
    ):  # fmt: skip
        tile = first_of(cuda.shared.array(_TILE, int32))
        part = rest(cuda.blockIdx.x, parts)
        line = quotient(cuda.blockIdx.x, parts) * lanes + cuda.threadIdx.x % lanes
        row = cuda.threadIdx.x // lanes
        owner = part * owners_here + row
        start = walked(line, dims)
        first = quotient(line, inner) * count * inner + rest(line, inner)
        for done in range(0, count, updates_of_tile):
            here = int32(min(updates_of_tile, count - done))
            if line < lines:
                for k in range(row, here, owners_here):
                    number = first + (done + k) * inner
                    place = checked(fault, number, indices[number], size)
                    tile[k * lanes + cuda.threadIdx.x % lanes] = place
            cuda.syncthreads()
            if line < lines:
                apply(
                    y, updates, tile, here, owner, parts * owners_here, start, stride,
                    first + done * inner, inner,
                )  # fmt: skip
            cuda.syncthreads()

    return body


@gpu_kernel_family(threads=THREADS)
def scatter_nd(dtype: str, reduction: str, lanes: int, length: int):
    """y[indices[t], :] = updates[t, :], or combined: slices of `inner` elements, whose places are
    numbered in steps of `inner`.

    A line is an element of all slices. Blocks: ceil(inner / lanes) * parts.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, quotient, rest
    from layercc.kernels.element_types import SCALAR

    owners_here = THREADS // lanes
    updates_of_tile = _TILE // lanes
    meant = tuple_reader(length)
    apply = _applier(dtype, reduction, lanes)
    int32 = SCALAR["i32"]

    def body(
        y: pointer(dtype), indices: pointer("i64"), updates: pointer(dtype), count: I32,
        inner: I32, parts: I32, dims: (DIM,) * length, fault: FAULT,
    ):  # fmt: skip
        tile = first_of(cuda.shared.array(_TILE, int32))
        part = rest(cuda.blockIdx.x, parts)
        line = quotient(cuda.blockIdx.x, parts) * lanes + cuda.threadIdx.x % lanes
        row = cuda.threadIdx.x // lanes
        owner = part * owners_here + row
        for done in range(0, count, updates_of_tile):
            here = int32(min(updates_of_tile, count - done))
            for k in range(row, here, owners_here):
                place = meant(indices, done + k, dims, fault)
                tile[k * lanes + cuda.threadIdx.x % lanes] = place
            cuda.syncthreads()
            if line < inner:
                apply(
                    y, updates, tile, here, owner, parts * owners_here, line, inner,
                    done * inner + line, inner,
                )  # fmt: skip
            cuda.syncthreads()

    return body
