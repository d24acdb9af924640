# mypy: ignore-errors
"""Depthwise convolution, channels-last: one filter for each channel.

    Y[n, o, c] = epilogue( Σ_t X[n, o · stride - pad + t · dilation, c] · W[t, c] )

`o` runs over depth, height and width, `t` over the window; taps outside the input are left out.
Vectors hold channels; the microkernel (`layercc.cpu.depthwise_tile`) keeps a tile of neighbouring
output pixels in registers and shares their input pixels. One task computes `chunk` rows of the
output by a block of channels. Pixels whose window is cut off at the left or right are computed one
by one, from the taps that remain; rows of the window outside the input are left out for all.
"""

from layercc.cpu.kernel import INT, kernel_family, pointer

#: Taps that a window may have.
MOST_TAPS = 4096
#: Channels that a task computes at most: their sums for a tile's pixels stay in the first cache.
CHANNEL_BLOCK = 256


@kernel_family(noalias=("y",), unroll=False)
def depthwise(dtype: str, run: int, step: int, expression: tuple, columns: tuple):
    """Depthwise convolution with an epilogue; tasks: `channel_blocks` for each `chunk` rows.

    `run`: taps along the width that are read together (the width of an undilated window), with
    `step` the stride along the width; or 1 and 1, which serve every window. `expression` and
    `columns`: see `layercc.cpu.epilogues`.
    """
    from layercc.cpu.depthwise_tile import make_depthwise
    from layercc.cpu.epilogues import make_finish
    from layercc.cpu.intrinsics import offset, stack_array
    from layercc.cpu.isa import host_isa
    from layercc.cpu.tiles import lanes

    # All input pixels of a row may be loaded before they are used, so count them in.
    vectors, pixels = (2, 4) if host_isa().vector_registers >= 32 and run <= 3 else (1, 6)
    length = lanes(dtype)
    width = vectors * length
    tile_row = CHANNEL_BLOCK
    wide_tile = make_depthwise(dtype, pixels, vectors, run, step, tile_row, False)
    last_tile = make_depthwise(dtype, pixels, 1, run, step, tile_row, True)
    wide_pixel = make_depthwise(dtype, 1, vectors, 1, 1, tile_row, False)
    last_pixel = make_depthwise(dtype, 1, 1, 1, 1, tile_row, True)
    finish = make_finish(expression, columns)
    c0, c1, c2, c3 = (*columns, 0, 0, 0, 0)[:4]
    scratch_size = pixels * tile_row
    single = run == 1
    data = pointer(dtype)

    def body(
        task: INT,
        x: data,
        w: data,
        y: data,
        rows: INT,
        chunk: INT,
        channels: INT,
        wide: INT,
        channel_block: INT,
        channel_blocks: INT,
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
        first_channel = task % channel_blocks * channel_block
        last_channel = min(first_channel + channel_block, channels)
        first_row = task // channel_blocks * chunk
        offsets = stack_array(MOST_TAPS, "i64")  # of the taps that are inside, in X
        places = stack_array(MOST_TAPS, "i64")  # and in W
        tile = stack_array(scratch_size, dtype)
        # Output pixels from `whole` up to `cut` meet only input pixels.
        whole = min((pad_w + stride_w - 1) // stride_w, out_w)
        reach = in_w - 1 - (window_w - 1) * dilation_w + pad_w
        cut = max(min(reach // stride_w + 1, out_w), whole) if reach >= 0 else whole
        runs = window_w if single else 1
        pixel_step = stride_w * channels if single else channels
        for row in range(first_row, min(first_row + chunk, rows)):
            rest, oh = row // out_h, row % out_h
            image, od = rest // out_d, rest % out_d
            px = 0
            listed = False
            while px < out_w:
                inside = whole <= px < cut
                count = min(cut - px, pixels) if inside else 1
                if not (listed and inside):
                    taps = 0
                    for kd in range(window_d):
                        iz = od * stride_d - pad_d + kd * dilation_d
                        for kh in range(window_h):
                            iy = oh * stride_h - pad_h + kh * dilation_h
                            if iz < 0 or iz >= in_d or iy < 0 or iy >= in_h:
                                continue
                            start = ((image * in_d + iz) * in_h + iy) * in_w * channels
                            place = (kd * window_h + kh) * window_w * wide
                            for kw in range(runs if inside else window_w):
                                ix = px * stride_w - pad_w + kw * dilation_w
                                if inside:
                                    ix = kw * dilation_w
                                elif ix < 0 or ix >= in_w:
                                    continue
                                offsets[taps] = start + ix * channels
                                places[taps] = place + kw * wide
                                taps += 1
                    listed = inside
                source = offset(x, (px * stride_w - pad_w) * channels if inside else 0)
                for c in range(first_channel, last_channel, width):
                    left = last_channel - c
                    xc = offset(source, c)
                    wc = offset(w, c)
                    sums = offset(tile, c - first_channel)
                    if left >= width:
                        if inside:
                            wide_tile(
                                count, taps, xc, offsets, wc, places, pixel_step, wide, left, sums
                            )
                        else:
                            wide_pixel(
                                1, taps, xc, offsets, wc, places, pixel_step, wide, left, sums
                            )
                        continue
                    for v in range(0, left, length):
                        xv = offset(xc, v)
                        wv = offset(wc, v)
                        part = offset(sums, v)
                        rest = left - v
                        if inside:
                            last_tile(
                                count, taps, xv, offsets, wv, places, pixel_step, wide, rest, part
                            )
                        else:
                            last_pixel(
                                1, taps, xv, offsets, wv, places, pixel_step, wide, rest, part
                            )
                c = first_channel
                valid = last_channel - first_channel
                sums = tile
                for pixel in range(row * out_w + px, row * out_w + px + count):
                    out = offset(y, pixel * channels + c)
                    q0 = offset(p0, pixel * p0_row + c * c0)
                    q1 = offset(p1, pixel * p1_row + c * c1)
                    q2 = offset(p2, pixel * p2_row + c * c2)
                    q3 = offset(p3, pixel * p3_row + c * c3)
                    for j in range(valid):
                        out[j] = finish(sums[j], q0, q1, q2, q3, j)
                    sums = offset(sums, tile_row)
                px += count

    return body
