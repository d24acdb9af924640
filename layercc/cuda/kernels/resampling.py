# mypy: ignore-errors
"""Resampling along one axis by tables, and images read at real-valued positions.

    Y[o, i, j] = Σ_t W[i, t] · X[o, P[i, t], j]                    (`resample`)
    Y[n, c, o] = Σ_t W_t(G[n, o]) · X[n, c, P_t(G[n, o])]          (`grid_sample`)

Taps are added in order. Bound by memory, but for cubic samples, whose positions take arithmetic in
f64.
"""

from layercc.cuda.family import gpu_kernel_family
from layercc.kernels.declaration import F64, I32, pointer

THREADS = 256
#: Channels of a point that a thread of `grid_sample` computes, at most.
CHANNELS = 8


@gpu_kernel_family(threads=THREADS)
def resample(source: str, target: str, compute: str):
    """An element of the output a thread. Sums are of type `compute`; integers are rounded to even
    and saturated. All elements of an i whose first position is negative are `outside`.

    Blocks: ceil(n / THREADS), n the elements of y.
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    scalar = SCALAR[compute]
    zero = scalar(0)
    load_x, put = load(source), store(target)
    if target[0] in "iu":
        limits = np.iinfo({"i": "int", "u": "uint"}[target[0]] + target[1:])
        # the largest integers that the sums' type holds exactly
        room = max(int(limits.max).bit_length() - (np.finfo(scalar).nmant + 1), 0)
        low, high = scalar(int(limits.min)), scalar((int(limits.max) >> room) << room)
        rint, whole = primitive("rint", compute), SCALAR[target]

        @jit
        def put(y, at, value):
            y[at] = whole(min(max(rint(value), low), high))

    def body(
        x: pointer(source), positions: pointer("i64"), weights: pointer(compute),
        y: pointer(target), outside: F64, n: I32, size: I32, count: I32, inner: I32, taps: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            j = rest(at, inner)
            q = quotient(at, inner)
            i = rest(q, count)
            image = offset(x, quotient(q, count) * size * inner + j)
            p, w = offset(positions, i * taps), offset(weights, i * taps)
            value = scalar(outside)
            if p[0] >= 0:
                value = zero
                for t in range(taps):
                    value += w[t] * scalar(load_x(image, p[t] * inner))
            put(y, at, value)

    return body


@gpu_kernel_family(threads=THREADS)
def grid_sample(dtype: str, grid: str, mode: str, padding: str, corners: bool, rank: int):
    """As `layercc.jobs.resampling.SampleGrid` says, of up to three spatial dims; a thread has a
    point in some channels, and finds the point's positions and weights once.

    Of a coordinate beyond 2^53 times the image, what reflection gives is some place inside.
    Blocks: ceil(batch * `channel_blocks` * points / THREADS).
    """
    import numpy as np
    from numba import cuda

    from layercc.cuda.intrinsics import quotient, rest
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset
    from layercc.kernels.math import SCALAR, primitive

    load_x, load_grid, store_y = load(dtype), load(grid), store(dtype)
    rint, floor, trunc = primitive("rint", "f64"), primitive("floor", "f64"), np.trunc
    cubic, nearest = mode == "cubic", mode == "nearest"
    border, mirror, zeros = (padding == name for name in ("border", "reflection", "zeros"))
    kept, f64, int32 = SCALAR[compute_dtype(dtype)], np.float64, SCALAR["i32"]
    count = {"nearest": 1, "linear": 2, "cubic": 4}[mode]

    @jit
    def reflect(place, size):
        low = 0.0 if corners else -0.5
        high = size - 1.0 if corners else size - 0.5
        span = high - low
        if span == 0.0:
            place = low
        elif place < low or place > high:
            turn = 2.0 * span
            away = abs(place - low)
            folded = cuda.fma(-floor(away / turn), turn, away)
            if folded < 0.0:  # the quotient was rounded up
                folded += turn
            place = low + (turn - folded if folded > span else folded)
        return place

    @jit
    def keys_kernel(x):
        x = abs(x)
        near = (1.25 * x - 2.25) * x * x + 1.0
        far = ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0
        return near if x <= 1.0 else (far if x < 2.0 else 0.0)

    @jit
    def neighbour(place, weight, size):
        """One neighbour along an axis, moved inside if it is outside."""
        if zeros and not (0.0 <= place < size):  # NaN is outside too
            weight = 0.0
        if mirror:
            place = trunc(reflect(place, size))
        if place != place:
            place = 0.0
        return int32(min(max(place, 0.0), size - 1.0)), weight

    @jit
    def along(normal, size):
        """The neighbours of a position along an axis of `size`, and their weights; four of each, of
        which `count` are meant."""
        size = f64(size)
        if corners:
            place = (normal + 1.0) / 2.0 * (size - 1.0)
        else:
            place = ((normal + 1.0) * size - 1.0) / 2.0
        if cubic:
            left = floor(place)
            p0, w0 = neighbour(left - 1.0, keys_kernel(place - left + 1.0), size)
            p1, w1 = neighbour(left, keys_kernel(place - left), size)
            p2, w2 = neighbour(left + 1.0, keys_kernel(place - left - 1.0), size)
            p3, w3 = neighbour(left + 2.0, keys_kernel(place - left - 2.0), size)
        else:
            if nearest:
                place = rint(place)
            if border and place == place:
                place = min(max(place, 0.0), size - 1.0)
            if mirror:
                place = reflect(place, size)
            if nearest:
                p0, w0 = neighbour(trunc(place), 1.0, size)
                p1, w1 = p0, 0.0
            else:
                left = floor(place)
                p0, w0 = neighbour(left, 1.0 - (place - left), size)
                p1, w1 = neighbour(left + 1.0, place - left, size)
            p2, p3, w2, w3 = p0, p0, 0.0, 0.0
        return (p0, p1, p2, p3), (w0, w1, w2, w3)

    @jit
    def pick(four, t):
        low = four[1] if t & 1 else four[0]
        high = four[3] if t & 1 else four[2]
        return high if t & 2 else low

    counts = tuple(count if rank > axis else 1 for axis in (2, 1, 0))  # of depth, height, width
    count_d, count_h, count_w = counts
    nowhere = (int32(0),) * 4, (f64(1),) * 4

    def body(
        x: pointer(dtype), grid: pointer(grid), y: pointer(dtype), n: I32, channels: I32,
        channel_blocks: I32, points: I32, in_d: I32, in_h: I32, in_w: I32,
    ):  # fmt: skip
        at = cuda.blockIdx.x * THREADS + cuda.threadIdx.x
        if at < n:
            o = rest(at, points)
            q = quotient(at, points)
            first = rest(q, channel_blocks) * CHANNELS
            image = quotient(q, channel_blocks)
            g = offset(grid, (image * points + o) * rank)
            at_w, weight_w = along(f64(load_grid(g, 0)), in_w)
            at_h, weight_h = nowhere
            at_d, weight_d = nowhere
            if rank > 1:
                at_h, weight_h = along(f64(load_grid(g, 1)), in_h)
            if rank > 2:
                at_d, weight_d = along(f64(load_grid(g, 2)), in_d)
            pixels = in_d * in_h * in_w
            for c in range(first, min(first + CHANNELS, channels)):
                plane = offset(x, (image * channels + c) * pixels)
                total = 0.0
                for i in range(count_d):
                    for j in range(count_h):
                        line = (pick(at_d, i) * in_h + pick(at_h, j)) * in_w
                        for k in range(count_w):
                            weight = pick(weight_d, i) * pick(weight_h, j) * pick(weight_w, k)
                            if weight != 0.0:
                                total += weight * f64(load_x(plane, line + pick(at_w, k)))
                store_y(y, (image * channels + c) * points + o, kept(total))

    return body
