# mypy: ignore-errors
"""The second half of a transposed convolution, channels-last: each output pixel sums its taps.

    Y[n, o, c] = epilogue( Σ_t P[n, i, t, c] )      over taps t and pixels i with
                                                     o = i · stride + t · dilation - pad

P holds the products of each input pixel with the weights of each tap. Gathering, unlike adding to
the output in place, sums in a fixed order and writes each element once. A task is `chunk` rows of
the output by a block of a group's channels.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

#: Taps that a window may have.
MOST_TAPS = 4096
#: Channels that a task computes at most.
CHANNEL_BLOCK = 256


@kernel_family(noalias=("y",))
def col2im(dtype: str, expression: tuple, columns: tuple):
    """P is [pixels, groups, taps, channels of a group]; y is [rows, out_w, channels].

    `expression` and `columns`: see `layercc.cpu.epilogues`. Tasks: `blocks` of channels for each
    group, and these for each `chunk` of rows.
    """
    from layercc.cpu.epilogues import make_epilogue
    from layercc.cpu.strided import strided
    from layercc.cpu.window_taps import WINDOW, count_taps, pixel_number, split_row
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array

    epilogue = make_epilogue(expression, columns)
    rows_of, finish = epilogue.rows_of, epilogue.finish
    data = pointer(dtype)
    acc_size = CHANNEL_BLOCK

    @jit
    def source_of(axis, o, k):
        """The input position that tap k takes to output position o, or -1."""
        at = o + axis.pad - k * axis.dilation
        if at < 0 or at % axis.stride != 0 or at // axis.stride >= axis.inputs:
            return -1
        return at // axis.stride

    def body(
        task: INT,
        p: data,
        y: data,
        rows: INT,
        chunk: INT,
        groups: INT,
        group_channels: INT,
        channel_block: INT,
        blocks: INT,
        window: WINDOW,
        operands: (strided(dtype),) * len(columns),
    ):
        first_in_group = task % blocks * channel_block
        valid = min(channel_block, group_channels - first_in_group)
        group = task // blocks % groups
        c = group * group_channels + first_in_group
        channels = groups * group_channels
        taps = count_taps(window)
        first_row = task // (blocks * groups) * chunk
        acc = stack_array(acc_size, dtype)
        offsets = stack_array(MOST_TAPS, "i64")
        products = offset(p, group * taps * group_channels + first_in_group)
        for row in range(first_row, min(first_row + chunk, rows)):
            image, od, oh = split_row(window, row)
            for ow in range(window.w.outputs):
                met = 0
                for kd in range(window.d.taps):
                    iz = source_of(window.d, od, kd)
                    if iz < 0:
                        continue
                    for kh in range(window.h.taps):
                        iy = source_of(window.h, oh, kh)
                        if iy < 0:
                            continue
                        line = pixel_number(window, image * window.d.inputs + iz, iy, 0)
                        place = (kd * window.h.taps + kh) * window.w.taps
                        for kw in range(window.w.taps):
                            ix = source_of(window.w, ow, kw)
                            if ix >= 0:
                                pixel = (line + ix) * groups * taps + place + kw
                                offsets[met] = pixel * group_channels
                                met += 1
                if met == 0:
                    for j in range(valid):
                        acc[j] = 0
                else:
                    first = offset(products, offsets[0])
                    for j in range(valid):
                        acc[j] = first[j]
                    t = 1
                    while t + 1 < met:
                        one = offset(products, offsets[t])
                        two = offset(products, offsets[t + 1])
                        for j in range(valid):
                            acc[j] = acc[j] + one[j] + two[j]
                        t += 2
                    if t < met:
                        one = offset(products, offsets[t])
                        for j in range(valid):
                            acc[j] = acc[j] + one[j]
                at = row * window.w.outputs + ow
                out = offset(y, at * channels + c)
                beside = rows_of(operands, 0, 0, at, c)
                for j in range(valid):
                    out[j] = finish(acc[j], beside, j)

    return body
