# mypy: ignore-errors
"""Pools over sliding windows, channels-last, an element of the output a thread; and what puts their
largest elements back.

Taps are combined in order; neighbouring threads have neighbouring channels. Bound by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.faults import FAULT
from layercc.cuda.kernels.contraction import WINDOW
from layercc.cuda.kernels.indexing import reporter
from layercc.kernels.declaration import I32, INT, pointer, record

THREADS = 256
SPATIAL = record("Spatial", d=I32, h=I32, w=I32)


@gpu_kernel_family(threads=THREADS)
def pool(kind: str, dtype: str, power: int):
    """`kind`: max (NaN wins), average or lp, the `power`-norm.

    With `include_pad` (1) an average counts taps in the padding too, which ends `ends` elements
    behind the input. Blocks: ceil(n / THREADS), n the elements of y.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.math import SCALAR
    from layercc.kernels.pools import pool_steps

    kept = compute_dtype(dtype)
    scalar, int32 = SCALAR[kept], SCALAR["i32"]
    start, term, join, finish = pool_steps(kind, kept, power)
    load_x, store_y = load(dtype), store(dtype)
    counted = kind == "average"

    @jit
    def within(axis, first, end):
        """Taps from `first` on that lie before `end`, and not before the padding."""
        count = 0
        for t in range(axis.taps):
            if first + t * axis.dilation < end:
                count += 1
        return count

    def body(
        x: pointer(dtype), y: pointer(dtype), n: I32, channels: I32, include_pad: I32,
        ends: SPATIAL, window: WINDOW,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            c = rest(at, channels)
            q = quotient(at, channels)
            w0 = rest(q, window.w.outputs) * window.w.stride - window.w.pad
            q = quotient(q, window.w.outputs)
            h0 = rest(q, window.h.outputs) * window.h.stride - window.h.pad
            q = quotient(q, window.h.outputs)
            d0 = rest(q, window.d.outputs) * window.d.stride - window.d.pad
            image = quotient(q, window.d.outputs) * window.d.inputs
            total = start
            count = 0
            for td in range(window.d.taps):
                d = int32(d0 + td * window.d.dilation)
                if d >= 0 and d < window.d.inputs:
                    for th in range(window.h.taps):
                        h = int32(h0 + th * window.h.dilation)
                        if h >= 0 and h < window.h.inputs:
                            row = ((image + d) * window.h.inputs + h) * window.w.inputs
                            for tw in range(window.w.taps):
                                w = int32(w0 + tw * window.w.dilation)
                                if w >= 0 and w < window.w.inputs:
                                    value = load_x(x, (row + w) * channels + c)
                                    total = join(total, term(value))
                                    count += 1
            if counted and include_pad != 0:
                count = (
                    within(window.d, d0, window.d.inputs + ends.d)
                    * within(window.h, h0, window.h.inputs + ends.h)
                    * within(window.w, w0, window.w.inputs + ends.w)
                )
            store_y(y, at, finish(total, scalar(count)))

    return body


@gpu_kernel_family(threads=THREADS)
def max_pool_indices(dtype: str):
    """Where the largest element of each window is; NaN wins, and of equal elements the first.

    Places count the elements of X channels-first: (image · channels + channel) · pixels + pixel;
    `places` are the pixels between neighbours in depth, height and width. Blocks:
    ceil(n / THREADS), n the elements of y.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import load
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR

    load_x, int32 = load(dtype), SCALAR["i32"]

    @jit
    def first_met(axis, position):
        return int32(position * axis.stride - axis.pad)

    def body(
        x: pointer(dtype), y: pointer("i64"), n: I32, channels: I32, places: SPATIAL,
        window: WINDOW,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            c = rest(at, channels)
            q = quotient(at, channels)
            w0 = first_met(window.w, rest(q, window.w.outputs))
            q = quotient(q, window.w.outputs)
            h0 = first_met(window.h, rest(q, window.h.outputs))
            q = quotient(q, window.h.outputs)
            d0 = first_met(window.d, rest(q, window.d.outputs))
            image = quotient(q, window.d.outputs)
            pixels = window.d.inputs * window.h.inputs * window.w.inputs
            source = offset(x, image * pixels * channels + c)
            found, best = int32(-1), int32(0)  # where the largest lies, and its number
            for td in range(window.d.taps):
                d = int32(d0 + td * window.d.dilation)
                for th in range(window.h.taps):
                    h = int32(h0 + th * window.h.dilation)
                    for tw in range(window.w.taps):
                        w = int32(w0 + tw * window.w.dilation)
                        inside = d >= 0 and d < window.d.inputs and h >= 0 and h < window.h.inputs
                        if inside and w >= 0 and w < window.w.inputs:
                            place = int32(
                                ((d * window.h.inputs + h) * window.w.inputs + w) * channels
                            )
                            taken = found < 0
                            if not taken:
                                v, top = load_x(source, place), load_x(source, found)
                                taken = v > top or (v != v and top == top)
                            if taken:
                                found = place
                                best = int32(d * places.d + h * places.h + w * places.w)
            y[at] = (image * channels + c) * pixels + best

    return body


@gpu_kernel_family(threads=THREADS)
def unpool_places():
    """For each element of y the last i that writes it, as the smallest -i: `last`, 1 where there is
    none. An index outside of y is reported.

    Blocks: ceil(n / THREADS), n the indices.
    """
    from numba import cuda

    from layercc.cuda.intrinsics import atomic_least
    from layercc.kernels.intrinsics import offset

    report = reporter()

    def body(indices: pointer("i64"), last: pointer("i64"), n: I32, size: INT, fault: FAULT):
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            place = indices[at]
            if place >= 0 and place < size:
                atomic_least(offset(last, place), -at)
            else:
                report(fault, at)

    return body


@gpu_kernel_family(threads=THREADS)
def max_unpool(dtype: str):
    """y[indices[i]] = x[i] for the i that `unpool_places` found. Blocks: ceil(n / THREADS)."""
    from numba import cuda

    def body(
        x: pointer(dtype), indices: pointer("i64"), last: pointer("i64"), y: pointer(dtype),
        n: I32, size: INT,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            place = indices[at]
            inside = place >= 0 and place < size
            if inside and last[place] == -at:
                y[place] = x[at]

    return body
