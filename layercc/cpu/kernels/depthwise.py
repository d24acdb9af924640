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
_MOST_PIXELS = 8


@kernel_family(noalias=("y",))
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
    from layercc.cpu.target import jit
    from layercc.cpu.tiles import lanes

    registers = host_isa().vector_registers
    vectors = 2 if registers >= 32 else 1
    pixels = max(1, min(_MOST_PIXELS, registers // vectors - run - 2))
    length = lanes(dtype)
    width = vectors * length
    wide_tile = make_depthwise(dtype, pixels, vectors, run, step, False)
    narrow_tile = make_depthwise(dtype, pixels, 1, run, step, False)
    last_tile = make_depthwise(dtype, pixels, 1, run, step, True)
    wide_pixel = make_depthwise(dtype, 1, vectors, 1, 1, False)
    narrow_pixel = make_depthwise(dtype, 1, 1, 1, 1, False)
    last_pixel = make_depthwise(dtype, 1, 1, 1, 1, True)
    finish = make_finish(expression, columns)
    column = (*columns, 0, 0, 0, 0)[:4]
    c0, c1, c2, c3 = column
    scratch_size = pixels * width
    single = run == 1
    data = pointer(dtype)

    @jit
    def write(tile, count, wide, valid, y, y_row, p0, r0, p1, r1, p2, r2, p3, r3):
        """Applies the epilogue to `count` pixels of a tile that is `wide` channels wide."""
        for _ in range(count):
            if valid == width:
                for j in range(width):
                    y[j] = finish(tile[j], p0, p1, p2, p3, j)
            else:
                for j in range(valid):
                    y[j] = finish(tile[j], p0, p1, p2, p3, j)
            tile = offset(tile, wide)
            y = offset(y, y_row)
            p0 = offset(p0, r0)
            p1 = offset(p1, r1)
            p2 = offset(p2, r2)
            p3 = offset(p3, r3)

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
                c = first_channel
                at = (row * out_w + px) * channels
                source = offset(x, (px * stride_w - pad_w) * channels if inside else 0)
                while c < last_channel:
                    left = last_channel - c
                    xc = offset(source, c)
                    wc = offset(w, c)
                    if left >= width:
                        valid = width
                        if inside:
                            wide_tile(
                                count, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                        else:
                            wide_pixel(
                                1, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                    elif left >= length:
                        valid = length
                        if inside:
                            narrow_tile(
                                count, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                        else:
                            narrow_pixel(
                                1, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                    else:
                        valid = left
                        if inside:
                            last_tile(
                                count, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                        else:
                            last_pixel(
                                1, taps, xc, offsets, wc, places, pixel_step, wide, left, tile
                            )
                    pixel = row * out_w + px
                    write(
                        tile,
                        count,
                        width if valid == width else length,
                        valid,
                        offset(y, at + c),
                        channels,
                        offset(p0, pixel * p0_row + c * c0),
                        p0_row,
                        offset(p1, pixel * p1_row + c * c1),
                        p1_row,
                        offset(p2, pixel * p2_row + c * c2),
                        p2_row,
                        offset(p3, pixel * p3_row + c * c3),
                        p3_row,
                    )
                    c += valid
                px += count

    return body
