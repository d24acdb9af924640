# mypy: ignore-errors
"""Reading images at real-valued positions.

    Y[n, c, o] = Σ_t W_t(G[n, o]) · X[n, c, P_t(G[n, o])]

The positions P_t around a grid point G and their weights are found once and used for all channels.
Up to three spatial dims; those that an image does not have come first, with size 1. Computed in
f64.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

#: Positions of a cubic sample in three dims.
_MOST_TAPS = 64


@kernel_family(noalias=("y",))
def grid_sample(dtype: str, grid: str, mode: str, padding: str, corners: bool):
    """`mode`: nearest, linear or cubic; `padding`: zeros, border or reflection; `corners`: -1 and 1
    are the centres of the outermost pixels, not their outer edges.

    x is [batch, channels, in_d, in_h, in_w], y [batch, channels, points], the grid [batch, points,
    rank] with the innermost dim first. Tasks: batch · points in chunks.
    """
    import numpy as np

    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR, primitive

    load_x, load_grid, store_y = load(dtype), load(grid), store(dtype)
    rint, floor, fmod = (primitive(name, "f64") for name in ("rint", "floor", "fmod"))
    cubic, nearest = mode == "cubic", mode == "nearest"
    border, mirror, zeros = (padding == name for name in ("border", "reflection", "zeros"))
    most_taps = _MOST_TAPS
    kept = SCALAR[compute_dtype(dtype)]

    @jit
    def reflect(place, size):
        low = 0.0 if corners else -0.5
        high = size - 1.0 if corners else size - 0.5
        span = high - low
        if span == 0.0:
            return low
        if place < low or place > high:
            folded = fmod(abs(place - low), 2.0 * span)
            return low + (2.0 * span - folded if folded > span else folded)
        return place

    @jit
    def keys_kernel(x):
        x = abs(x)
        near = (1.25 * x - 2.25) * x * x + 1.0
        far = ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0
        return near if x <= 1.0 else (far if x < 2.0 else 0.0)

    @jit
    def put(indices, weights, t, place, weight, size):
        """One neighbour along an axis, moved inside if it is outside."""
        if zeros and not (0.0 <= place < size):  # NaN is outside too
            weight = 0.0
        if mirror:
            place = np.trunc(reflect(place, size))
        if place != place:
            place = 0.0
        indices[t] = np.int64(min(max(place, 0.0), size - 1.0))
        weights[t] = weight

    @jit
    def along(indices, weights, normal, size):
        """The neighbours of a position along an axis of `size`; returns how many."""
        if corners:
            place = (normal + 1.0) / 2.0 * (size - 1)
        else:
            place = ((normal + 1.0) * size - 1.0) / 2.0
        if cubic:
            left = floor(place)
            for t in range(4):
                put(indices, weights, t, left + t - 1, keys_kernel(place - left - (t - 1)), size)
            return 4
        if nearest:
            place = rint(place)
        if border and place == place:
            place = min(max(place, 0.0), size - 1.0)
        if mirror:
            place = reflect(place, size)
        if nearest:
            put(indices, weights, 0, np.trunc(place), 1.0, size)
            return 1
        left = floor(place)
        put(indices, weights, 0, left, 1.0 - (place - left), size)
        put(indices, weights, 1, left + 1.0, place - left, size)
        return 2

    def body(
        task: INT,
        x: pointer(dtype),
        grid: pointer(grid),
        y: pointer(dtype),
        batch: INT,
        channels: INT,
        points: INT,
        rank: INT,
        in_d: INT,
        in_h: INT,
        in_w: INT,
        chunk: INT,
    ):
        axis_d = stack_array(4, "i64")
        axis_h = stack_array(4, "i64")
        axis_w = stack_array(4, "i64")
        weight_d = stack_array(4, "f64")
        weight_h = stack_array(4, "f64")
        weight_w = stack_array(4, "f64")
        places = stack_array(most_taps, "i64")
        weights = stack_array(most_taps, "f64")
        pixels = in_d * in_h * in_w
        for point in range(task * chunk, min((task + 1) * chunk, batch * points)):
            n, o = point // points, point % points
            g = offset(grid, point * rank)
            count_w = along(axis_w, weight_w, np.float64(load_grid(g, 0)), in_w)
            count_h = 1
            count_d = 1
            axis_h[0] = 0
            axis_d[0] = 0
            weight_h[0] = 1.0
            weight_d[0] = 1.0
            if rank > 1:
                count_h = along(axis_h, weight_h, np.float64(load_grid(g, 1)), in_h)
            if rank > 2:
                count_d = along(axis_d, weight_d, np.float64(load_grid(g, 2)), in_d)
            taps = 0
            for i in range(count_d):
                for j in range(count_h):
                    for k in range(count_w):
                        weight = weight_d[i] * weight_h[j] * weight_w[k]
                        if weight != 0.0:
                            places[taps] = (axis_d[i] * in_h + axis_h[j]) * in_w + axis_w[k]
                            weights[taps] = weight
                            taps += 1
            for c in range(channels):
                plane = offset(x, (n * channels + c) * pixels)
                total = 0.0
                for t in range(taps):
                    total += weights[t] * np.float64(load_x(plane, places[t]))
                store_y(y, (n * channels + c) * points + o, kept(total))

    return body
