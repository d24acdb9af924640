# mypy: ignore-errors
"""Pools over sliding windows, channels-last, an element of the output a thread.

Taps are combined in order; neighbouring threads have neighbouring channels. Bound by memory.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.cuda.kernels.contraction import WINDOW
from layercc.kernels.declaration import I32, pointer, record

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
