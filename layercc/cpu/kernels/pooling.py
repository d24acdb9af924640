# mypy: ignore-errors
"""Pools over sliding windows, channels-last.

    Y[n, o, c] = finish( ⊕_t term(X[n, o · stride - pad + t · dilation, c]) )

`⊕` is the maximum (NaN wins) or a sum; taps outside the input are left out. The loop over channels
is innermost and combines a group of taps at a time, so that an element of a window of up to nine
taps is written once. A task is `chunk` rows of the output by a block of channels.

`max_pool_indices` finds where the largest elements are, one channel at a time.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

#: Taps that a window may have.
MOST_TAPS = 1 << 14
#: Channels that a task computes at most.
CHANNEL_BLOCK = 256


@kernel_family(noalias=("y",))
def pool(kind: str, dtype: str, group: int, power: int):
    """`kind`: max, average or lp (the `power`-norm); `group`: taps that are combined at a time.

    With `include_pad` (1) an average counts taps in the padding too, which ends `end_d`, `end_h`
    and `end_w` elements beyond the input. Tasks: `channel_blocks` for each `chunk` of the `rows`.
    """
    from layercc.cpu.expressions import compute_dtype, load, store
    from layercc.cpu.intrinsics import offset, stack_array
    from layercc.cpu.math import SCALAR
    from layercc.cpu.target import jit
    from layercc.cpu.windows import count_within, list_taps

    kept = compute_dtype(dtype)
    start, term, join, finish, combine = _operations(kind, kept, load(dtype), group, power)
    store_y = store(dtype)
    scalar = SCALAR[kept]
    data = pointer(dtype)
    acc_size = CHANNEL_BLOCK
    counted = kind == "average"
    load_x = load(dtype)

    @jit
    def pool_pixel(x, offsets, taps, acc, y, valid, count):
        if taps == group:
            for j in range(valid):
                store_y(y, j, finish(combine(x, offsets, j), count))
            return
        done = 0
        if taps > group:
            for j in range(valid):
                acc[j] = combine(x, offsets, j)
            done = group
        else:
            for j in range(valid):
                acc[j] = start
        while done + group <= taps:
            more = offset(offsets, done)
            for j in range(valid):
                acc[j] = join(acc[j], combine(x, more, j))
            done += group
        while done < taps:
            source = offset(x, offsets[done])
            for j in range(valid):
                acc[j] = join(acc[j], term(load_x(source, j)))
            done += 1
        for j in range(valid):
            store_y(y, j, finish(acc[j], count))

    def body(
        task: INT,
        x: data,
        y: data,
        rows: INT,
        chunk: INT,
        channels: INT,
        channel_block: INT,
        channel_blocks: INT,
        include_pad: INT,
        end_d: INT,
        end_h: INT,
        end_w: INT,
        in_d: INT,
        in_h: INT,
        in_w: INT,
        out_d: INT,
        out_h: INT,
        out_w: INT,
        window_d: INT,
        window_h: INT,
        window_w: INT,
        stride_d: INT,
        stride_h: INT,
        stride_w: INT,
        pad_d: INT,
        pad_h: INT,
        pad_w: INT,
        dilation_d: INT,
        dilation_h: INT,
        dilation_w: INT,
    ):
        first_channel = task % channel_blocks * channel_block
        valid = min(channel_block, channels - first_channel)
        first_row = task // channel_blocks * chunk
        offsets = stack_array(MOST_TAPS, "i64")
        acc = stack_array(acc_size, kept)
        for row in range(first_row, min(first_row + chunk, rows)):
            rest, oh = row // out_h, row % out_h
            image, od = rest // out_d, rest % out_d
            z = od * stride_d - pad_d
            h = oh * stride_h - pad_h
            source = offset(x, image * in_d * in_h * in_w * channels + first_channel)
            whole = False  # the taps in the list are those of a window that is not cut off
            taps = 0
            for ow in range(out_w):
                w = ow * stride_w - pad_w
                inside = w >= 0 and w + (window_w - 1) * dilation_w < in_w
                if not (whole and inside):
                    taps = list_taps(
                        offsets, z, h, 0 if inside else w, in_d, in_h, in_w,
                        window_d, window_h, window_w, dilation_d, dilation_h, dilation_w, channels,
                    )  # fmt: skip
                    whole = inside
                count = taps
                if counted and include_pad != 0:
                    count = (
                        count_within(z, window_d, dilation_d, in_d + end_d)
                        * count_within(h, window_h, dilation_h, in_h + end_h)
                        * count_within(w, window_w, dilation_w, in_w + end_w)
                    )
                pool_pixel(
                    offset(source, w * channels if inside else 0),
                    offsets,
                    taps,
                    acc,
                    offset(y, (row * out_w + ow) * channels + first_channel),
                    valid,
                    scalar(count),
                )

    return body


def _operations(kind, kept, load, group, power):
    """What a pool starts from, does to an element, combines by and ends with; and `combine(x,
    offsets, j)`, the elements j of `group` taps combined."""
    import numpy as np

    from layercc.cpu.accumulate import step
    from layercc.cpu.math import SCALAR, primitive
    from layercc.cpu.math_intrinsics import select
    from layercc.cpu.target import jit

    scalar = SCALAR[kept]
    floating = kept[0] == "f"
    if kind == "max":
        start = scalar(-np.inf if floating else np.iinfo(_numpy_type(kept)).min)
    else:
        start = scalar(0)

    def same(value):
        return value

    def same_total(value, count):
        return value

    term, finish = jit(same), jit(same_total)
    join, _ = step("max" if kind == "max" else "sum", kept)
    if kind == "average":

        @jit
        def finish(value, count):
            return value / count

    if kind == "lp":
        absolute, powered = primitive("absolute", kept), primitive("power", kept)
        exponent = (np.float64 if kept == "f32" else scalar)(power)
        inverse = (np.float64 if kept == "f32" else scalar)(1 / power)
        root = primitive("sqrt", kept)

        if power == 1:
            term = absolute
        elif power == 2:

            @jit
            def term(value):
                return value * value

            @jit
            def finish(value, count):
                return root(value)

        else:

            @jit
            def term(value):
                return powered(absolute(value), exponent)

            @jit
            def finish(value, count):
                return powered(value, inverse)

    taps = range(group)
    lines = [
        "def combine(x, offsets, j):",
        *(f"    v{t} = term(load(x, offsets[{t}] + j))" for t in taps),
    ]
    if kind == "max" and floating:  # whether any is NaN is asked for all together: cheaper
        lines += ["    m = v0", *(f"    m = select(v{t} > m, v{t}, m)" for t in taps[1:])]
        wrong = " | ".join(f"(v{t} != v{t})" for t in taps)
        lines += [f"    return select({wrong}, nan, m)"]
    else:
        lines += ["    m = v0", *(f"    m = join(m, v{t})" for t in taps[1:]), "    return m"]
    nan = scalar(np.nan) if floating else start
    names = {"term": term, "load": load, "join": join, "select": select, "nan": nan}
    exec("\n".join(lines), names)
    return start, term, join, finish, jit(names["combine"])


def _numpy_type(kept):
    """The NumPy type named `i8`, `u16`, `f32`, ..."""
    import numpy as np

    return getattr(np, {"f": "float", "i": "int", "u": "uint"}[kept[0]] + kept[1:])


@kernel_family(noalias=("y",))
def max_pool_indices(dtype: str):
    """Where the largest element of each window is; NaN wins, and of equal elements the first.

    Places count the elements of X channels-first: (image · channels + channel) · pixels + pixel;
    a pixel is z · place_d + y · place_h + x · place_w. Tasks: the `rows` in chunks.
    """
    from layercc.cpu.expressions import load
    from layercc.cpu.intrinsics import offset

    load_x = load(dtype)

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer("i64"),
        rows: INT,
        chunk: INT,
        channels: INT,
        place_d: INT,
        place_h: INT,
        place_w: INT,
        in_d: INT,
        in_h: INT,
        in_w: INT,
        out_d: INT,
        out_h: INT,
        out_w: INT,
        window_d: INT,
        window_h: INT,
        window_w: INT,
        stride_d: INT,
        stride_h: INT,
        stride_w: INT,
        pad_d: INT,
        pad_h: INT,
        pad_w: INT,
        dilation_d: INT,
        dilation_h: INT,
        dilation_w: INT,
    ):
        pixels = in_d * in_h * in_w
        for row in range(task * chunk, min((task + 1) * chunk, rows)):
            rest, oh = row // out_h, row % out_h
            image, od = rest // out_d, rest % out_d
            source = offset(x, image * pixels * channels)
            for ow in range(out_w):
                for c in range(channels):
                    found = False
                    place = 0
                    best = load_x(x, 0)
                    for kd in range(window_d):
                        iz = od * stride_d - pad_d + kd * dilation_d
                        if iz < 0 or iz >= in_d:
                            continue
                        for kh in range(window_h):
                            iy = oh * stride_h - pad_h + kh * dilation_h
                            if iy < 0 or iy >= in_h:
                                continue
                            for kw in range(window_w):
                                ix = ow * stride_w - pad_w + kw * dilation_w
                                if ix < 0 or ix >= in_w:
                                    continue
                                at = ((iz * in_h + iy) * in_w + ix) * channels + c
                                v = load_x(source, at)
                                if not found or v > best or (v != v and best == best):
                                    found = True
                                    best = v
                                    place = iz * place_d + iy * place_h + ix * place_w
                    y[(row * out_w + ow) * channels + c] = (image * channels + c) * pixels + place

    return body


@kernel_family(noalias=("y",))
def max_unpool(dtype: str):
    """y[indices[i]] = x[i] for i < n; indices outside y are left out. One task: later ones win."""

    def body(
        task: INT,
        x: pointer(dtype),
        indices: pointer("i64"),
        y: pointer(dtype),
        n: INT,
        size: INT,
    ):
        for i in range(n):
            at = indices[i]
            if 0 <= at < size:
                y[at] = x[i]

    return body
