# mypy: ignore-errors
"""Pools over sliding windows, channels-last.

    Y[n, o, c] = finish( ⊕_t term(X[n, o · stride - pad + t · dilation, c]) )

`⊕` is the maximum (NaN wins) or a sum; taps outside the input are left out. The loop over channels
is innermost and combines a group of taps at a time, so that an element of a window of up to nine
taps is written once. A task is `chunk` rows of the output by a block of channels.

`max_pool_indices` finds where the largest elements are, one channel at a time.
"""

from layercc.cpu.faults import FAULT, reporter
from layercc.kernels.declaration import INT, kernel_family, pointer

#: Taps that a window may have.
MOST_TAPS = 1 << 14
#: Channels that a task computes at most.
CHANNEL_BLOCK = 256


@kernel_family(noalias=("y",))
def pool(kind: str, dtype: str, group: int, power: int):
    """`kind`: max, average or lp (the `power`-norm); `group`: taps that are combined at a time.

    With `include_pad` (1) an average counts taps in the padding too, which ends `ends` elements
    beyond the input. Tasks: `channel_blocks` for each `chunk` of the `rows`.
    """
    from layercc.cpu.window_taps import (
        SPATIAL,
        WINDOW,
        channel_steps,
        count_pixels,
        count_within,
        first_met,
        list_taps,
        split_row,
    )
    from layercc.kernels.expressions import compute_dtype, load, store
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array
    from layercc.kernels.math import SCALAR

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
        ends: SPATIAL,
        window: WINDOW,
    ):
        first_channel = task % channel_blocks * channel_block
        valid = min(channel_block, channels - first_channel)
        first_row = task // channel_blocks * chunk
        offsets = stack_array(MOST_TAPS, "i64")
        acc = stack_array(acc_size, kept)
        steps = channel_steps(window, channels)
        for row in range(first_row, min(first_row + chunk, rows)):
            image, od, oh = split_row(window, row)
            z, h = first_met(window.d, od), first_met(window.h, oh)
            source = offset(x, image * count_pixels(window) * channels + first_channel)
            whole = False  # the taps in the list are those of a window that is not cut off
            taps = 0
            for ow in range(window.w.outputs):
                w = first_met(window.w, ow)
                inside = w >= 0 and w + (window.w.taps - 1) * window.w.dilation < window.w.inputs
                if not (whole and inside):
                    taps = list_taps(offsets, window, z, h, 0 if inside else w, steps)
                    whole = inside
                count = taps
                if counted and include_pad != 0:
                    count = (
                        count_within(window.d, z, window.d.inputs + ends.d)
                        * count_within(window.h, h, window.h.inputs + ends.h)
                        * count_within(window.w, w, window.w.inputs + ends.w)
                    )
                pool_pixel(
                    offset(source, w * channels if inside else 0),
                    offsets,
                    taps,
                    acc,
                    offset(y, (row * window.w.outputs + ow) * channels + first_channel),
                    valid,
                    scalar(count),
                )

    return body


def _operations(kind, kept, load, group, power):
    """What a pool starts from, does to an element, combines by and ends with; and `combine(x,
    offsets, j)`, the elements j of `group` taps combined."""
    import numpy as np

    from layercc.kernels.helper import jit
    from layercc.kernels.math import SCALAR
    from layercc.kernels.math_intrinsics import select
    from layercc.kernels.pools import pool_steps

    scalar, floating = SCALAR[kept], kept[0] == "f"
    start, term, join, finish = pool_steps(kind, kept, power)
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


@kernel_family(noalias=("y",))
def max_pool_indices(dtype: str):
    """Where the largest element of each window is; NaN wins, and of equal elements the first.

    Places count the elements of X channels-first: (image · channels + channel) · pixels + pixel;
    `places` are the pixels between neighbours in depth, height and width. Tasks: the `rows` in
    chunks.
    """
    from layercc.cpu.window_taps import (
        SPATIAL,
        WINDOW,
        channel_steps,
        count_pixels,
        first_met,
        list_taps,
        split_row,
    )
    from layercc.kernels.expressions import load
    from layercc.kernels.intrinsics import offset, stack_array

    load_x = load(dtype)

    def body(
        task: INT,
        x: pointer(dtype),
        y: pointer("i64"),
        rows: INT,
        chunk: INT,
        channels: INT,
        places: SPATIAL,
        window: WINDOW,
    ):
        elements = stack_array(MOST_TAPS, "i64")
        numbers = stack_array(MOST_TAPS, "i64")
        pixels = count_pixels(window)
        steps = channel_steps(window, channels)
        for row in range(task * chunk, min((task + 1) * chunk, rows)):
            image, od, oh = split_row(window, row)
            z, h = first_met(window.d, od), first_met(window.h, oh)
            source = offset(x, image * pixels * channels)
            for ow in range(window.w.outputs):
                w = first_met(window.w, ow)
                taps = list_taps(elements, window, z, h, w, steps)
                list_taps(numbers, window, z, h, w, places)
                out = offset(y, (row * window.w.outputs + ow) * channels)
                for c in range(channels):
                    largest = 0
                    for t in range(1, taps):
                        v = load_x(source, elements[t] + c)
                        best = load_x(source, elements[largest] + c)
                        if v > best or (v != v and best == best):
                            largest = t
                    place = numbers[largest] if taps > 0 else 0
                    out[c] = (image * channels + c) * pixels + place

    return body


@kernel_family(noalias=("y",))
def max_unpool(dtype: str):
    """y[indices[i]] = x[i] for i < n. One task: later ones win.

    An index outside y is reported (`layercc.cpu.faults`).
    """
    report = reporter()

    def body(
        task: INT,
        x: pointer(dtype),
        indices: pointer("i64"),
        y: pointer(dtype),
        n: INT,
        size: INT,
        fault: FAULT,
    ):
        for i in range(n):
            at = indices[i]
            if 0 <= at < size:
                y[at] = x[i]
            else:
                report(fault, i, at, 0, size - 1)

    return body
