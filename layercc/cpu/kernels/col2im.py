# mypy: ignore-errors
"""The second half of a transposed convolution, channels-last: each output pixel sums its taps.

    Y[n, o, c] = epilogue( Σ_t P[n, i, t, c] )      over taps t and pixels i with
                                                     o = i · stride + t · dilation - pad

P holds the products of each input pixel with the weights of each tap. Gathering, unlike adding to
the output in place, sums in a fixed order and writes each element once. A task is `chunk` rows of
the output by a block of a group's channels.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

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
    from layercc.cpu.epilogues import make_finish
    from layercc.cpu.intrinsics import offset, stack_array
    from layercc.cpu.target import jit

    finish = make_finish(expression, columns)
    c0, c1, c2, c3 = (*columns, 0, 0, 0, 0)[:4]
    data = pointer(dtype)
    acc_size = CHANNEL_BLOCK

    @jit
    def source_of(o, k, pad, dilation, stride, size):
        """The input position that tap k takes to output position o, or -1."""
        at = o + pad - k * dilation
        if at < 0 or at % stride != 0 or at // stride >= size:
            return -1
        return at // stride

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
        p0: data,
        p0_row: INT,
        p1: data,
        p1_row: INT,
        p2: data,
        p2_row: INT,
        p3: data,
        p3_row: INT,
    ):
        first_in_group = task % blocks * channel_block
        valid = min(channel_block, group_channels - first_in_group)
        group = task // blocks % groups
        c = group * group_channels + first_in_group
        channels = groups * group_channels
        taps = window_d * window_h * window_w
        first_row = task // (blocks * groups) * chunk
        acc = stack_array(acc_size, dtype)
        offsets = stack_array(MOST_TAPS, "i64")
        products = offset(p, group * taps * group_channels + first_in_group)
        for row in range(first_row, min(first_row + chunk, rows)):
            rest, oh = row // out_h, row % out_h
            image, od = rest // out_d, rest % out_d
            for ow in range(out_w):
                met = 0
                for kd in range(window_d):
                    iz = source_of(od, kd, pad_d, dilation_d, stride_d, in_d)
                    if iz < 0:
                        continue
                    for kh in range(window_h):
                        iy = source_of(oh, kh, pad_h, dilation_h, stride_h, in_h)
                        if iy < 0:
                            continue
                        line = ((image * in_d + iz) * in_h + iy) * in_w
                        place = (kd * window_h + kh) * window_w
                        for kw in range(window_w):
                            ix = source_of(ow, kw, pad_w, dilation_w, stride_w, in_w)
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
                at = row * out_w + ow
                out = offset(y, at * channels + c)
                q0 = offset(p0, at * p0_row + c * c0)
                q1 = offset(p1, at * p1_row + c * c1)
                q2 = offset(p2, at * p2_row + c * c2)
                q3 = offset(p3, at * p3_row + c * c3)
                for j in range(valid):
                    out[j] = finish(acc[j], q0, q1, q2, q3, j)

    return body
