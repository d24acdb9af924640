# mypy: ignore-errors
"""Depthwise convolution, channels-last: one filter for each channel; and that of narrow groups.

    Y[n, o, c] = epilogue( Σ_t Σ_k X[n, o · stride - pad + t · dilation, c'ₖ] · W[t, k, c] )

`c'ₖ` is channel k of the group that c is in: c itself in a depthwise convolution. `o` runs over
depth, height and width, `t` over the window; taps outside the input are left out. Vectors hold
channels; the microkernel (`layercc.cpu.depthwise_tile`) keeps a tile of neighbouring output pixels
in registers and shares their input pixels. One task computes `chunk` rows of the output by a block
of channels. Pixels whose window is cut off at the left or right are computed one by one, from the
taps that remain; rows of the window outside the input are left out for all.
"""

from layercc.kernels.declaration import INT, kernel_family, pointer

#: Taps that a window may have.
MOST_TAPS = 4096
#: Channels that a task computes at most: their sums for a tile's pixels stay in the first cache.
CHANNEL_BLOCK = 256


@kernel_family(noalias=("y",), unroll=False)
def depthwise(
    dtype: str, run: int, step: int, mixed: int, expression: tuple, columns: tuple, *, isa
):
    """Depthwise convolution with an epilogue; tasks: `channel_blocks` for each `chunk` rows.

    `mixed`: channels of a group, in and out, a power of two that divides `channel_block`. `run`:
    taps along the width that are read together (the width of an undilated window), with `step` the
    stride along the width; or 1 and 1, which serve every window. `expression` and `columns`: see
    `layercc.cpu.epilogues`.
    """
    from layercc.cpu.depthwise_tile import make_depthwise
    from layercc.cpu.epilogues import make_epilogue
    from layercc.cpu.strided import strided
    from layercc.cpu.tiles import vector_length
    from layercc.cpu.window_taps import WINDOW, first_met, is_inside, pixel_number, split_row
    from layercc.kernels.helper import jit
    from layercc.kernels.intrinsics import offset, stack_array

    # All input pixels of a row may be loaded before they are used, so count them in.
    many = isa.vector_registers >= 32 and run <= 3
    vectors, pixels = (2, 4) if many and mixed == 1 else (1, 8) if many and mixed <= 4 else (1, 6)
    length = vector_length(isa, dtype, mixed)
    width = vectors * length
    tile_row = CHANNEL_BLOCK
    wide_tile = make_depthwise(isa, dtype, pixels, vectors, run, step, tile_row, False, mixed)
    last_tile = make_depthwise(isa, dtype, pixels, 1, run, step, tile_row, True, mixed)
    wide_pixel = make_depthwise(isa, dtype, 1, vectors, 1, 1, tile_row, False, mixed)
    last_pixel = make_depthwise(isa, dtype, 1, 1, 1, 1, tile_row, True, mixed)
    epilogue = make_epilogue(expression, columns)
    rows_of, finish = epilogue.rows_of, epilogue.finish
    scratch_size = pixels * tile_row
    single = run == 1
    data = pointer(dtype)

    @jit
    def list_runs(offsets, places, window, image, z, y, x, runs, channels, wide):
        """Where the runs of taps that are inside begin in X and W; returns how many they are.

        The first is at depth z, height y and width x, which may be outside.
        """
        count = 0
        for kd in range(window.d.taps):
            iz = z + kd * window.d.dilation
            if not is_inside(window.d, iz):
                continue
            for kh in range(window.h.taps):
                iy = y + kh * window.h.dilation
                if not is_inside(window.h, iy):
                    continue
                start = pixel_number(window, image * window.d.inputs + iz, iy, x)
                place = (kd * window.h.taps + kh) * window.w.taps
                for kw in range(runs):
                    if is_inside(window.w, x + kw * window.w.dilation):
                        offsets[count] = (start + kw * window.w.dilation) * channels
                        places[count] = (place + kw) * mixed * wide
                        count += 1
        return count

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
        window: WINDOW,
        operands: (strided(dtype),) * len(columns),
    ):
        first_channel = task % channel_blocks * channel_block
        last_channel = min(first_channel + channel_block, channels)
        first_row = task // channel_blocks * chunk
        offsets = stack_array(MOST_TAPS, "i64")  # of the taps that are inside, in X
        places = stack_array(MOST_TAPS, "i64")  # and in W
        tile = stack_array(scratch_size, dtype)
        # Output pixels from `whole` up to `cut` meet only input pixels.
        across = window.w
        whole = min((across.pad + across.stride - 1) // across.stride, across.outputs)
        reach = across.inputs - 1 - (across.taps - 1) * across.dilation + across.pad
        cut = max(min(reach // across.stride + 1, across.outputs), whole) if reach >= 0 else whole
        runs = across.taps if single else 1
        pixel_step = across.stride * channels if single else channels
        for row in range(first_row, min(first_row + chunk, rows)):
            image, od, oh = split_row(window, row)
            z, h = first_met(window.d, od), first_met(window.h, oh)
            px = 0
            listed = False
            while px < across.outputs:
                inside = whole <= px < cut
                count = min(cut - px, pixels) if inside else 1
                left_edge = first_met(across, px)
                if not (listed and inside):
                    taps = list_runs(
                        offsets, places, window, image, z, h, 0 if inside else left_edge,
                        runs if inside else across.taps, channels, wide,
                    )  # fmt: skip
                    listed = inside
                source = offset(x, left_edge * channels if inside else 0)
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
                first = row * across.outputs + px
                for pixel in range(first, first + count):
                    out = offset(y, pixel * channels + c)
                    beside = rows_of(operands, 0, 0, pixel, c)
                    for j in range(valid):
                        out[j] = finish(sums[j], beside, j)
                    sums = offset(sums, tile_row)
                px += count

    return body
