# mypy: ignore-errors
"""The k largest or smallest elements along an axis, in order, and where they are.

Rows are cut into tiles, which blocks sort in shared memory (Batcher, "Sorting networks and their
applications", 1968); sorted runs are then merged in pairs, in which the place of an element is its
place in its own run and that in the other, found by bisection. Never more than the k best of a run
are kept. No two elements are equal: of equal values the one with the lower index comes first; NaN
counts as the largest. So the result does not hang on how a row is cut.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import I32, pointer

THREADS = 256
#: Elements that a block sorts at once.
TILE = 2048
#: The index of what fills up a tile: behind all elements.
_NONE = (1 << 31) - 1


def _order(dtype: str, largest: bool):
    """(`before(a, at_a, b, at_b)`, the stored value of what fills up: behind all elements)."""
    import numpy as np

    from layercc.kernels.element_types import ELEMENT_TYPES, FLOATS, SCALAR
    from layercc.kernels.expressions import compute_dtype, decoder
    from layercc.kernels.helper import jit

    kind, stored = compute_dtype(dtype), SCALAR[ELEMENT_TYPES[dtype].stored]
    decode = decoder(dtype)
    is_float = kind in FLOATS

    @jit
    def above(a, b):
        if is_float:
            return (a > b) or (a != a and b == b)
        return a > b

    @jit
    def ordered(a, at_a, b, at_b):
        over, under = above(a, b), above(b, a)
        first = over if largest else under
        return first or (not over and not under and at_a < at_b)

    @jit
    def ordered_decoded(a, at_a, b, at_b):
        return ordered(decode(a), at_a, decode(b), at_b)

    if not is_float:
        limits = np.iinfo(stored)
        last = stored(limits.min if largest else limits.max)
    elif ELEMENT_TYPES[dtype].coded:
        infinity, nan = {"f16": (0x7C00, 0x7E00), "bf16": (0x7F80, 0x7FC0)}[dtype]
        last = stored(0x8000 | infinity if largest else nan)
    else:
        last = stored(-np.inf if largest else np.nan)
    return ordered if decode is None else ordered_decoded, last


def _writer(final: bool):
    """The helper `put(values, indices, row, run, rank, kept, runs, inner, value, index)`.

    The results are [outer, kept, inner], rows being numbered over outer and inner; what lies
    between is [rows, runs, kept].
    """
    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.helper import jit

    def to_result(values, indices, row, run, rank, kept, runs, inner, value, index):
        at = (quotient(row, inner) * kept + rank) * inner + rest(row, inner)
        values[at] = value
        indices[at] = index

    def between(values, indices, row, run, rank, kept, runs, inner, value, index):
        at = (row * runs + run) * kept + rank
        values[at] = value
        indices[at] = index

    return jit(to_result if final else between)


@gpu_kernel_family(threads=THREADS)
def sorted_tiles(dtype: str, largest: bool, final: bool):
    """The `kept` best of each tile of `size` elements, a power of two, TILE at most.

    x is [outer, n, inner]; `rows` are numbered over outer and inner, each with `runs` tiles. With
    `final` there is one, and the result is written. Blocks: ceil(rows * runs * size / TILE).
    """
    from numba import cuda

    from layercc.cuda.intrinsics import first_of, quotient, rest
    from layercc.kernels.element_types import ELEMENT_TYPES, SCALAR
    from layercc.kernels.helper import jit

    scalar, int32 = SCALAR[ELEMENT_TYPES[dtype].stored], SCALAR["i32"]
    before, last = _order(dtype, largest)
    put = _writer(final)
    none = int32(_NONE)
    index_dtype = "i64" if final else "i32"

    @jit
    def exchange(keys, places, i, j, descending):
        a, b, at_a, at_b = keys[i], keys[j], places[i], places[j]
        if before(b, at_b, a, at_a) != descending:
            keys[i], keys[j], places[i], places[j] = b, a, at_b, at_a

    def body(
        x: pointer(dtype), values: pointer(dtype), indices: pointer(index_dtype), rows: I32,
        n: I32, inner: I32, runs: I32, size: I32, kept: I32,
    ):  # fmt: skip
        keys = first_of(cuda.shared.array(TILE, scalar))
        places = first_of(cuda.shared.array(TILE, int32))
        first_tile = cuda.blockIdx.x * quotient(TILE, size)
        for i in range(cuda.threadIdx.x, TILE, THREADS):
            tile = first_tile + quotient(i, size)
            row = quotient(tile, runs)
            k = rest(tile, runs) * size + rest(i, size)
            keys[i], places[i] = last, none
            if row < rows and k < n:
                keys[i] = x[(quotient(row, inner) * n + k) * inner + rest(row, inner)]
                places[i] = k
        cuda.syncthreads()
        length = int32(2)
        while length <= size:
            distance = quotient(length, 2)
            while distance > 0:
                for pair in range(cuda.threadIdx.x, TILE // 2, THREADS):
                    i = quotient(pair, distance) * 2 * distance + rest(pair, distance)
                    descending = rest(i, size) & length != 0
                    exchange(keys, places, i, i + distance, descending)
                cuda.syncthreads()
                distance = quotient(distance, 2)
            length = int32(length * 2)
        for i in range(cuda.threadIdx.x, TILE, THREADS):
            tile = first_tile + quotient(i, size)
            row = quotient(tile, runs)
            if row < rows and rest(i, size) < kept:
                put(
                    values, indices, row, rest(tile, runs), rest(i, size), kept, runs, inner,
                    keys[i], places[i],
                )  # fmt: skip

    return body


@gpu_kernel_family(threads=THREADS)
def merged_runs(dtype: str, largest: bool, final: bool):
    """Pairs of sorted runs merged: [rows, runs, had] → [rows, ceil(runs / 2), kept].

    A run without a partner is merged with one of nothing. Blocks: ceil(n / THREADS), n the
    elements of all runs, partners counted.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.element_types import SCALAR
    from layercc.kernels.intrinsics import offset

    int32 = SCALAR["i32"]
    before, last = _order(dtype, largest)
    put = _writer(final)
    none = int32(_NONE)
    index_dtype = "i64" if final else "i32"

    def body(
        x: pointer(dtype), places: pointer("i32"), values: pointer(dtype),
        indices: pointer(index_dtype), n: I32, inner: I32, runs: I32, had: I32, kept: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            pairs = quotient(runs + 1, 2)
            i = rest(at, had)
            run = rest(quotient(at, had), 2 * pairs)
            row = quotient(quotient(at, had), 2 * pairs)
            value, place = last, none
            if run < runs:
                mine = (row * runs + run) * had + i
                value, place = x[mine], places[mine]
            other = run ^ 1
            low, high = int32(0), int32(had if other < runs else 0)
            keys = offset(x, (row * runs + other) * had)
            where = offset(places, (row * runs + other) * had)
            while low < high:  # of what fills up, that of the first run comes first
                middle = quotient(low + high, 2)
                goes = before(keys[middle], where[middle], value, place)
                tied = run > other and where[middle] == place
                if goes or tied:
                    low = int32(middle + 1)
                else:
                    high = int32(middle)
            rank = i + low
            if rank < kept:
                put(
                    values, indices, row, quotient(run, 2), rank, kept, pairs, inner, value, place
                )  # fmt: skip

    return body
